// The same against a real hub: a published version is entered between its nodes over the hub's own `/v2`, by number, and the answer is put together from the two.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startAgent, type AgentProcess } from '../support/agent-process.js';
import { runTidegate, startHubProcess, type HubProcess } from '../support/hub-process.js';
import { twoStageInput, writeTwoStagePackage } from '../support/two-stage-package.js';

let folder: string;
let hub: HubProcess;
let agent: AgentProcess;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidegate-split-hub-'));
  const two = writeTwoStagePackage(join(folder, 'two'), 'two', 'placement: { split: true }');
  hub = await startHubProcess(join(folder, 'hub'));
  await runTidegate(hub, ['model', 'publish', two]);
  agent = await startAgent(['serve', two, '--hub', hub.url, '--hub-token', hub.token]);
});

afterAll(async () => {
  await Promise.all([agent.stop(), hub.stop()]);
  await rm(folder, { recursive: true });
});

it('splits with a version of the registry', async () => {
  const local = await agent.infer('two', twoStageInput(1), { placement: 'local', cache: 'bypass' });
  const split = await agent.infer('two', twoStageInput(1), { placement: 'split', cache: 'bypass' });
  expect(split.provenance).toMatchObject({ placement: 'split', modelDigest: local.provenance.modelDigest });
  expect(split.provenance.variant).toMatch(/\+fp32$/);
  expect(split.outputs).toEqual(local.outputs);
});

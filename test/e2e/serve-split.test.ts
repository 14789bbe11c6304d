// Split pipelines: the first graph on the device, the second one on the hub, with a second agent standing for it: both speak the Open Inference Protocol.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { InferAnswer } from '@tidegate/shared/serving/inference-service.js';
import { AgentProcess, startAgent } from '../support/agent-process.js';
import { startShapedLink, type ShapedLink } from '../../bench/shaped-link.mjs';
import { twoStageInput, writeTwoStagePackage } from '../support/two-stage-package.js';

let folder: string;
let hub: AgentProcess;
let link: ShapedLink;
let agent: AgentProcess;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidegate-split-'));
  const split = 'placement: { split: true }';
  const packages = [
    writeTwoStagePackage(join(folder, 'two'), 'two', split),
    writeTwoStagePackage(join(folder, 'whole'), 'whole'),
  ];
  const private_ = writeTwoStagePackage(join(folder, 'private'), 'private', 'privacy: { fallback: local }');
  const other = writeTwoStagePackage(join(folder, 'other'), 'other', split);
  const otherThere = writeTwoStagePackage(
    join(folder, 'other-there'),
    'other',
    `${split}\ndescription: another version`,
  );
  hub = await startAgent(['serve', ...packages, otherThere]);
  link = await startShapedLink(hub.url, { roundTripMs: 2, bytesPerSecond: 1e8 });
  agent = await startAgent(['serve', ...packages, private_, other, '--hub', link.url]);
});

afterAll(async () => {
  hub.child.kill('SIGCONT');
  await Promise.all([agent.stop(), hub.stop()]);
  await link.close();
  await rm(folder, { recursive: true });
});

type Part = Parameters<AgentProcess['infer']>[2];
const ask = (model: string, seed: number, part: Part = {}): Promise<InferAnswer> =>
  agent.infer(model, twoStageInput(seed), part);
const scores = ({ outputs }: InferAnswer): string =>
  outputs.map(({ name, shape, data }) => `${name} ${shape.join()} ${Buffer.from(data).toString('hex')}`).join();
const runsOf = async (process: AgentProcess, graph: number): Promise<number> =>
  (await process.model('two')).graphs[graph]?.counts['runs'] ?? Number.NaN;

describe('a split pipeline', () => {
  it('gives the very answer of the device, each part having run once', async () => {
    const local = await ask('two', 1, { placement: 'local', cache: 'bypass' });
    const before = await Promise.all([runsOf(agent, 0), runsOf(agent, 1), runsOf(hub, 0), runsOf(hub, 1)]);
    const split = await ask('two', 1, { placement: 'split', cache: 'bypass', id: 'cut/1' });
    const after = await Promise.all([runsOf(agent, 0), runsOf(agent, 1), runsOf(hub, 0), runsOf(hub, 1)]);
    expect(after.map((count, i) => count - (before[i] ?? 0))).toEqual([1, 0, 0, 1]);
    expect(scores(split)).toBe(scores(local));
    const { variant, variantDigest, modelDigest } = local.provenance;
    expect(split.provenance).toMatchObject({
      placement: 'split',
      modelDigest,
      variant: `${variant}+${variant}`,
      variantDigest: `${variantDigest}+${variantDigest}`,
    });
    expect(split.provenance.reason).toMatch(
      /^cut at features: \S+ ms on the device, \S+ ms at the hub, \S+ ms on the way$/,
    );
    const explained = await agent.get<{ steps: { what: string }[]; result: string }>('/agent/v1/explain/cut%2F1');
    expect(explained.result).toMatch(/^split: cut at features/);
    expect(explained.steps.map(({ what }) => what)).toContain('where its parts run: the caller asked for a split');
    expect(await agent.metric('tidegate_requests_total{model="two",outcome="split",code="ok"}')).toBe(1);
    expect(await agent.metric('tidegate_hub_round_trip_seconds')).toBeGreaterThan(0.002);
  });

  it('is cached as what it is', async () => {
    expect((await ask('two', 2, { placement: 'split' })).provenance.placement).toBe('split');
    const again = (await ask('two', 2, { placement: 'split' })).provenance;
    expect(again).toMatchObject({
      placement: 'cache',
      cacheLayer: 'memory',
      variant: expect.stringContaining('+') as string,
    });
    expect(again.reason).toContain('answered by the device and the hub');
    expect((await ask('two', 2, { placement: 'local' })).provenance.placement).toBe('edge'); // never the device's own
  });

  it('is refused by name where package or privacy policy do not allow it', async () => {
    const forbidden = { code: 'forbidden', field: 'placement' };
    await expect(ask('whole', 1, { placement: 'split' })).rejects.toMatchObject(forbidden);
    await expect(ask('private', 1, { placement: 'split' })).rejects.toMatchObject(forbidden);
  });

  it("is not put together from two versions: the device's answer stands", async () => {
    const { provenance } = await ask('other', 1, { placement: 'split', cache: 'bypass' });
    expect(provenance.placement).toBe('edge');
    expect(provenance.reason).toMatch(/what the hub has as version \S+ is not this device's/);
  });

  it('is finished on the device when the link breaks or the hub stops in mid-split, and in time', async () => {
    const local = await ask('two', 3, { placement: 'local', cache: 'bypass' });
    link.shape = { roundTripMs: 2000, bytesPerSecond: 1e8 };
    const before = await runsOf(agent, 0);
    const answer = ask('two', 3, { placement: 'split', cache: 'bypass' });
    await expect.poll(() => runsOf(agent, 0)).toBe(before + 1);
    link.cut();
    expect(scores(await answer)).toBe(scores(local));
    expect((await answer).provenance).toMatchObject({
      placement: 'edge',
      reason: expect.stringContaining("the hub's part: ") as string,
    });
    expect(await runsOf(agent, 0)).toBe(before + 1); // the first graph did not run again

    link.shape = { roundTripMs: 2, bytesPerSecond: 1e8 };
    process.kill(hub.child.pid ?? 0, 'SIGSTOP');
    const stopped = await ask('two', 3, { placement: 'split', cache: 'bypass', timeoutMs: 3000 });
    process.kill(hub.child.pid ?? 0, 'SIGCONT');
    expect(stopped.provenance.placement).toBe('edge');
    expect(scores(stopped)).toBe(scores(local));
  });
});

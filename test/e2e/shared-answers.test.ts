// Three real devices and their hub: what two computed alike the third is given, audited once, and needs no hub for what it has.
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { InferAnswer } from '@tidegate/shared/serving/inference-service.js';
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bareYaml } from '../support/bare-package.js';
import { runAgent, startAgent, type AgentProcess } from '../support/agent-process.js';
import { runTidegate, startHubProcess, type HubProcess } from '../support/hub-process.js';

const folder = mkdtempSync(join(tmpdir(), 'tidegate-shared-'));
const SLOW = fileURLToPath(new URL('../fixtures/onnx/slow.onnx', import.meta.url));
let hub: HubProcess;
let devices: [AgentProcess, AgentProcess, AgentProcess];

/** A run takes some 150 ms: worth asking others for. */
function slowPackage(): string {
  const at = join(folder, 'slow');
  mkdirSync(at);
  copyFileSync(SLOW, join(at, 'slow.onnx'));
  const inputs = '[{ name: rounds, datatype: INT64, shape: [] }, { name: tag, datatype: FP32, shape: [-1] }]';
  const outputs = '[{ name: mean, datatype: FP32, shape: [] }, { name: tag_out, datatype: FP32, shape: [-1] }]';
  const fields = { inputs, outputs, pipeline: '[{ graph: slow.onnx }]', privacy: '{ answers: hub }' };
  writeFileSync(join(at, 'model.yaml'), bareYaml('slow', fields));
  return at;
}

const ask = (agent: AgentProcess, tag: number): Promise<InferAnswer> =>
  agent.infer('slow', [
    tensor('rounds', 'INT64', [], bytesOf(BigInt64Array.of(3000n))),
    tensor('tag', 'FP32', [1], bytesOf(Float32Array.of(tag))),
  ]);
const held = async (): Promise<number> =>
  (JSON.parse(await runTidegate(hub, ['cache', 'show', '--json'])) as { entries: number }).entries;

beforeAll(async () => {
  hub = await startHubProcess(join(folder, 'hub'));
  await runTidegate(hub, ['model', 'publish', slowPackage()]);
  const tokens = await runTidegate(hub, ['group', 'token', 'create', '--group', 'shop', '--uses', '3']);
  const token = /\S{20,}/.exec(tokens)?.[0] ?? '';
  const device = async (name: string): Promise<AgentProcess> => {
    const dataDir = join(folder, name);
    const to = ['--hub', `https://127.0.0.1:${hub.ports['device']}`, '--token', token];
    expect(await runAgent(['enroll', ...to, '--data-dir', dataDir, '--name', name])).toMatchObject({ code: 0 });
    return startAgent(['run', '--data-dir', dataDir]);
  };
  devices = await Promise.all([device('one'), device('two'), device('three')]);
  const quick = ['--waves', '100%', '--soak', '1s', '--probation', '1s', '--min-requests', '0', '--wait'];
  await runTidegate(hub, ['rollout', 'start', 'slow@1', '--group', 'shop', ...quick]);
});
afterAll(async () => {
  await Promise.all((devices ?? []).map((agent) => agent.stop()));
  await hub?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('a device gets what two others computed alike, checks the first, and then needs no hub for it (B30)', async () => {
  const [one, two, three] = devices;
  for (const tag of [1, 2]) await ask(one, tag);
  expect(await held()).toBe(0); // one device's word is not passed on
  for (const tag of [1, 2]) expect((await ask(two, tag)).provenance.placement).toBe('edge');
  await expect.poll(held).toBe(2);
  await ask(three, 0); // measures what computing costs
  expect((await ask(three, 1)).provenance.placement).toBe('edge'); // audits the first
  const given = await ask(three, 2);
  expect(given.provenance).toMatchObject({ placement: 'cache', cacheLayer: 'hub', computeUs: 0 });
  expect(given.provenance.reason).toContain('computed alike by devices of this hub');
  expect(Buffer.compare(given.outputs[1]?.data ?? Buffer.of(), bytesOf(Float32Array.of(2)))).toBe(0);
  expect(await three.metric('tidegate_cache_audits_total{layer="hub"}')).toBe(1);
  expect(await three.metric('tidegate_cache_disagreements_total{layer="hub"}')).toBe(0);
  expect(await runTidegate(hub, ['cache', 'drop', '--model', 'slow'])).toBe('2 answers dropped\n');
  await hub.stop();
  expect((await ask(three, 2)).provenance).toMatchObject({ placement: 'cache', cacheLayer: 'memory' });
  expect((await ask(three, 3)).provenance.placement).toBe('edge');
});

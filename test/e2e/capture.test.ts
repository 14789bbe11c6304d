// Learning's first step with a real hub and a real device: what the device is unsure of arrives at the hub as a sample where the
// package allows it, also after the hub was away and the device's plug was pulled, and never where it doesn't.
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pageOf } from '@tidegate/shared/wire/admin-api.js';
import { sampleSchema, type SampleView } from '@tidegate/shared/wire/data-api.js';
import { hexOf } from '@tidegate/shared/wire/digest.js';
import { inputsDigest } from '@tidegate/shared/wire/sample.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { examplesFolder, runAgent, startAgent, type AgentProcess } from '../support/agent-process.js';
import { digitInput } from '../support/digit-inputs.js';
import { runTidegate, startHubProcess, type HubProcess } from '../support/hub-process.js';

const ARRIVES_WITHIN_MS = 30_000;
const folder = mkdtempSync(join(tmpdir(), 'tidegate-capture-'));
const dataDir = join(folder, 'device');
let hub: HubProcess;
let agent: AgentProcess;

/** The digits package under another name; nothing is ever confident enough for it. */
function unsureOfAll(name: string, capture: 'hub' | 'none'): string {
  const target = join(folder, name);
  cpSync(join(examplesFolder, 'digits'), target, { recursive: true });
  const path = join(target, 'model.yaml');
  const yaml = readFileSync(path, 'utf8')
    .replace(/^name: .*$/m, `name: ${name}`)
    .replace(/^confidence: .*$/m, 'confidence: { output: confidence, threshold: 1 }')
    .replace(/^privacy: .*$/m, `privacy: { capture: ${capture} }`);
  writeFileSync(path, yaml);
  return target;
}

async function samplesOf(model: string): Promise<readonly SampleView[]> {
  const url = `${hub.url}/api/v1/samples?where=${encodeURIComponent(`model=${model}`)}`;
  const answer = await fetch(url, { headers: { authorization: `Bearer ${hub.token}` } });
  if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
  return pageOf(sampleSchema).parse(await answer.json()).items;
}

const digestOf = (seed: number): string => inputsDigest(digitInput(seed));
const keptFiles = (): string[] => readdirSync(join(dataDir, 'captures'));
const arrived = (model: string): Promise<string[]> =>
  samplesOf(model).then((rows) => rows.map((row) => row.inputsDigest));
const withoutHub = { placement: 'local', cache: 'bypass' } as const;

beforeAll(async () => {
  hub = await startHubProcess(join(folder, 'hub'));
  const tidegate = (...args: string[]): Promise<string> => runTidegate(hub, args);
  await tidegate('model', 'publish', unsureOfAll('open', 'hub'));
  await tidegate('model', 'publish', unsureOfAll('closed', 'none'));
  const token = /\S{20,}/.exec(await tidegate('group', 'token', 'create', '--group', 'shop'))?.[0] ?? '';
  const device = `https://127.0.0.1:${hub.ports['device']}`;
  const enrolled = await runAgent(['enroll', '--hub', device, '--token', token, '--data-dir', dataDir]);
  expect(enrolled).toMatchObject({ code: 0 });
  agent = await startAgent(['run', '--data-dir', dataDir]);
  const quick = ['--waves', '100%', '--soak', '1s', '--probation', '1s', '--min-requests', '0', '--wait'];
  for (const model of ['open', 'closed']) await tidegate('rollout', 'start', `${model}@1`, '--group', 'shop', ...quick);
});
afterAll(async () => {
  await agent?.stop();
  await hub?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('what a device is unsure of', () => {
  test('arrives at the hub with where it came from, also where the hub gave the answer', async () => {
    const local = await agent.infer('open', digitInput(1), withoutHub);
    const { provenance } = await agent.infer('open', digitInput(2));
    expect(provenance.placement).toBe('hub');
    const sought = [digestOf(1), digestOf(2)].sort();
    await expect.poll(() => arrived('open').then((all) => all.sort()), { timeout: ARRIVES_WITHIN_MS }).toEqual(sought);
    const row = (await samplesOf('open')).find((one) => one.inputsDigest === digestOf(1));
    expect(row).toMatchObject({
      model: 'open',
      version: 1,
      versionDigest: local.provenance.modelDigest,
      variantDigest: local.provenance.variantDigest,
      reason: 'low-confidence',
      inputs: [{ name: 'image', datatype: 'FP32', shape: [1, 1, 28, 28] }],
      answer: expect.stringMatching(/^\d$/) as string,
      device: expect.any(String) as string,
    });
    expect(row?.confidence).toBeCloseTo(local.provenance.confidence ?? -1, 5);
    await expect.poll(keptFiles, { timeout: ARRIVES_WITHIN_MS }).toEqual([]);
  });

  test('comes row by row, and not again from the cache', async () => {
    const rows = 3;
    const known = (await arrived('open')).length;
    await agent.infer('open', digitInput(3, rows), { placement: 'local' });
    const again = await agent.infer('open', digitInput(3, rows), { placement: 'local' });
    expect(again.provenance.placement).toBe('cache');
    await agent.infer('open', digitInput(4), withoutHub); // behind whatever the cache's answer might have given
    await expect.poll(() => arrived('open'), { timeout: ARRIVES_WITHIN_MS }).toContain(digestOf(4));
    await expect.poll(keptFiles, { timeout: ARRIVES_WITHIN_MS }).toEqual([]);
    expect(await arrived('open')).toHaveLength(known + rows + 1);
  });

  test('is kept sealed while the hub is away, outlives kill -9, arrives when it is back, and is then deleted', async () => {
    await hub.stop();
    const seeds = [11, 12, 13];
    for (const seed of seeds) {
      const { provenance } = await agent.infer('open', digitInput(seed), { cache: 'bypass' });
      expect(provenance.placement).toBe('edge');
    }
    await expect.poll(keptFiles, { timeout: ARRIVES_WITHIN_MS }).toHaveLength(seeds.length);
    for (const name of keptFiles()) {
      const path = join(dataDir, 'captures', name);
      const sealed = readFileSync(path);
      expect(statSync(path).mode & 0o777).toBe(0o600);
      expect(sealed.includes(Buffer.from('open'))).toBe(false);
      // No eight bytes of any picture stand in it.
      for (const seed of seeds) {
        const pixels = Buffer.from(digitInput(seed)[0]?.data ?? []);
        for (let at = 0; at < pixels.length; at += 8) expect(sealed.includes(pixels.subarray(at, at + 8))).toBe(false);
      }
    }
    expect(statSync(join(dataDir, 'captures.key')).mode & 0o777).toBe(0o600);
    const before = keptFiles();

    agent.child.kill('SIGKILL');
    await agent.finished;
    agent = await startAgent(['run', '--data-dir', dataDir]);
    await expect
      .poll(() => agent.metric('tidegate_captures_stored_bytes'), { timeout: ARRIVES_WITHIN_MS })
      .toBeGreaterThan(0);
    expect(keptFiles()).toEqual(before);

    hub = await hub.again();
    const wanted = seeds.map(digestOf);
    await expect
      .poll(() => arrived('open'), { timeout: 2 * ARRIVES_WITHIN_MS, interval: 200 })
      .toEqual(expect.arrayContaining(wanted));
    await expect.poll(keptFiles, { timeout: ARRIVES_WITHIN_MS }).toEqual([]);
    const ids = (await samplesOf('open')).map(({ id }) => hexOf(id));
    expect(ids).toEqual(expect.arrayContaining(before)); // under the very names that they had here
    expect(await agent.metric('tidegate_captures_sent_total')).toBe(seeds.length);
    const status = await runAgent(['status', '--http-port', new URL(agent.url).port]);
    expect(status.stdout).toContain('captures: 3 sent, 0 waiting for the hub');
  });
});

test('nothing is ever captured of a model whose package does not allow it, whoever asks', async () => {
  for (let seed = 0; seed < 20; seed += 1) {
    await agent.infer('closed', digitInput(seed), { cache: 'bypass', ...(seed % 2 === 0 && { placement: 'local' }) });
  }
  const last = 99;
  await agent.infer('open', digitInput(last), withoutHub); // what comes after has gone through
  await expect.poll(() => arrived('open'), { timeout: ARRIVES_WITHIN_MS }).toContain(digestOf(last));
  expect(await samplesOf('closed')).toEqual([]);
  expect(await agent.metric('tidegate_captures_total{model="closed",reason="low-confidence"}')).toBeNaN();
  await expect.poll(keptFiles, { timeout: ARRIVES_WITHIN_MS }).toEqual([]);
  const decisions = agent.stderr
    .split('\n')
    .filter((line) => line.includes('privacy decision'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const rule = 'privacy.capture: none (served version)';
  expect(decisions.filter((one) => one['model'] === 'closed' && one['kind'] === 'capture')).toMatchObject([
    { allowed: false, rule }, // once, not at each request
  ]);
});

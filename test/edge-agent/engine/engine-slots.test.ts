import { appendFile, cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EngineSlots } from '@tidegate/edge-agent/engine/engine-slots.js';
import type { ModelSource } from '@tidegate/edge-agent/engine/model-slots.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { digitInput } from '../../support/digit-inputs.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const examples = fileURLToPath(new URL('../../../examples/', import.meta.url));
const source = (version: string, path = `${examples}digits`): ModelSource => ({
  name: 'digits',
  version,
  versionDigest: sha256(version),
  variant: 'fp32',
  variantDigest: sha256(`v${version}`),
  path,
  verified: false,
});
const folder = temporaryFolders('engine-slots');
const signal = new AbortController().signal;
let runtime: ExecutorRuntime;
let slots: EngineSlots;

beforeEach(() => {
  const modules = { clock: systemClock, log: silentLog };
  runtime = new ExecutorRuntime(modules);
  const options = { providers: ['cpu'], intraOpThreads: 1, queueDepthMax: 8, heavy: false } as const;
  slots = new EngineSlots(options, { runtime, inspect: inspectGraphFile, ...modules });
});

afterEach(async () => {
  await slots.closeAll();
  await runtime.close();
});

const ask = (rows: number): Promise<unknown> | undefined =>
  slots
    .serving('digits')
    ?.infer(
      { inputs: digitInput(1, rows), outputs: [], deadlineMs: systemClock.monotonicMs() + 20_000, priority: 0 },
      signal,
    );

describe('EngineSlots', () => {
  it('keeps the version before loaded, for undoing', async () => {
    const one = await slots.prepare(source('1'), signal);
    expect(slots.names()).toEqual([]);
    expect(slots.activate(one)).toBeUndefined();
    const two = await slots.prepare(source('2'), signal);
    expect(slots.active('digits')).toBe(one);
    expect(slots.activate(two)).toBe(one);
    expect(slots.activate(one)).toBe(two);
    expect(slots.activate(one)).toBeUndefined();
    await two.close();
    expect(() => slots.activate(two)).toThrow('not closed');
    await expect(ask(1)).resolves.toBeDefined();
  });

  it('counts the deaths of its executors, for probation', async () => {
    const one = await slots.prepare(source('1'), signal);
    slots.activate(one);
    expect(one.executorDeaths).toBe(0);
    process.kill(one.served.graphs[0]?.pid ?? 0, 'SIGKILL');
    await ask(1);
    expect(one.executorDeaths).toBe(1);
  });

  it('serves on when another version can not be loaded, and says why', async () => {
    slots.activate(await slots.prepare(source('1'), signal));
    await expect(slots.prepare(source('2', '/nowhere'), signal)).rejects.toThrow('/nowhere');
    await expect(ask(1)).resolves.toBeDefined();
    expect(slots.active('digits')?.source.version).toBe('1');
  });

  it('refuses a version that requires a GPU where the CPU runs it, with the reason, and serves on (B18)', async () => {
    slots.activate(await slots.prepare(source('1'), signal));
    expect(slots.active('digits')?.provider).toMatchObject({ runs: 'cpu', cpuNodesRatio: 1 });
    const path = folder();
    await cp(`${examples}digits`, path, { recursive: true });
    await appendFile(join(path, 'model.yaml'), '\nrequire: gpu\n');
    await expect(slots.prepare(source('2', path), signal)).rejects.toThrow(
      'the package says `require: gpu`, but the CPU runs it: asked for',
    );
    expect(slots.active('digits')?.source.version).toBe('1');
    await expect(ask(1)).resolves.toMatchObject({ ranOn: { provider: 'cpu' } });
  });

  it('removing waits for the requests that were accepted', async () => {
    slots.activate(await slots.prepare(source('1'), signal));
    const asked = ask(1000);
    const removing = slots.remove('digits');
    expect(slots.serving('digits')).toBeUndefined();
    await expect(asked).resolves.toBeDefined();
    await removing;
  });

  it("tests a version by its package's goldens before it is active; a bare graph has none", async () => {
    const prepared = await slots.prepare(source('1'), signal);
    const outcome = await prepared.selfTest(signal);
    expect(outcome).toMatchObject({ passed: true, threshold: 0.9 });
    expect(outcome.count).toBeGreaterThan(0);
    const bare = { ...source('1', `${examples}bare/scale-and-add.onnx`), name: 'bare' };
    expect(await (await slots.prepare(bare, signal)).selfTest(signal)).toMatchObject({ passed: true, count: 0 });
  });
});

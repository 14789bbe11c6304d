import { appendFile, cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EngineSlots } from '@tidegate/edge-agent/engine/engine-slots.js';
import type { ModelSource } from '@tidegate/edge-agent/engine/model-slots.js';
import { Residency } from '@tidegate/shared/residency/residency.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { BestThreads } from '@tidegate/shared/serving/measured-threads.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import type { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { ThreadsFile } from '@tidegate/shared/serving/threads-file.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { float32Of } from '@tidegate/shared/tensor/tensor.js';
import { unlimitedResidency } from '../../support/unlimited-residency.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { countingInputs, writeCountingPackage } from '../../support/counting-package.js';
import { digitInput } from '../../support/digit-inputs.js';
import { recordedLog } from '../../support/recorded-log.js';
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
const OPTIONS = { providers: ['cpu'], intraOpThreads: 1, queueDepthMax: 8, heavy: false } as const;
let runtime: ExecutorRuntime;
let slots: EngineSlots;

beforeEach(() => {
  const modules = { clock: systemClock, log: silentLog };
  runtime = new ExecutorRuntime(modules);
  slots = new EngineSlots(OPTIONS, { runtime, residency: unlimitedResidency(), inspect: inspectGraphFile, ...modules });
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

/** Asks as the router does. */
async function held(version: Awaited<ReturnType<EngineSlots['prepare']>>): Promise<void> {
  const release = await slots.hold(version.served, { deadlineMs: systemClock.monotonicMs() + 20_000 }, signal);
  try {
    await expect(ask(1)).resolves.toBeDefined();
  } finally {
    release();
  }
}

describe('EngineSlots', () => {
  it('measures once how many threads suit a model where that is asked', async () => {
    const modules = { runtime, residency: unlimitedResidency(), inspect: inspectGraphFile, clock: systemClock };
    const path = join(folder(), 'threads.json');
    const start = async () => {
      const log = recordedLog();
      const kept = new ThreadsFile({ path, release: '1' }, { files: systemFiles, log });
      const measuring = { clock: systemClock, log, kept, busyShare: () => Promise.resolve(0) };
      const bestThreads = new BestThreads({ cores: 2, defaultDeadlineMs: 30_000 }, measuring);
      const starting = new EngineSlots(OPTIONS, { ...modules, bestThreads, log: silentLog });
      const { threads, served } = await starting.prepare(source('1'), signal);
      const [graph] = served.graphs;
      const { counts } = served;
      await starting.closeAll();
      return { threads, graph, runs: counts.runs, said: log.lines.map(({ message }) => message) };
    };
    const first = await start();
    expect(first.threads?.measured[0]?.threads).toBe(1);
    expect(first.graph?.threads).toBe(first.threads?.threads);
    expect(first.said).toEqual(['threads chosen']);
    expect(first.runs).toBeGreaterThan(0);
    const second = await start();
    expect(second).toMatchObject({ threads: first.threads, runs: 0, said: ['threads as measured before'] });
    expect((await slots.prepare(source('1'), signal)).threads).toBeUndefined();
  });

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

  it('goes back to a version that had to leave memory meanwhile: the next request loads it', async () => {
    const MIB = 2 ** 20;
    const modules = { clock: systemClock, log: silentLog };
    const memoryOf = (pid: number): Promise<number> => Promise.resolve(pid === 0 ? 0 : 40 * MIB);
    const residency = new Residency({ limitBytes: 100 * MIB }, { ...modules, memoryOf, ownPids: () => [0] });
    const options = { providers: ['cpu'], intraOpThreads: 1, queueDepthMax: 8, heavy: false } as const;
    slots = new EngineSlots(options, { runtime, residency, inspect: inspectGraphFile, ...modules });
    const one = await slots.prepare(source('1'), signal);
    slots.activate(one);
    const two = await slots.prepare(source('2'), signal);
    expect(slots.activate(two)).toBe(one);
    await held(two);
    slots.activate(await slots.prepare({ ...source('1', `${examples}bare/scale-and-add.onnx`), name: 'bare' }, signal));
    expect([one, two].map((version) => version.residency?.state)).toEqual(['on demand', 'resident']);
    slots.activate(one);
    await two.close();
    await held(one);
    expect(one.residency).toMatchObject({ state: 'resident', loads: 2 });
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
    const shares: number[] = [];
    await prepared.warmUp(signal, (share) => shares.push(share));
    expect(shares).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((run) => run / 8));
    const outcome = await prepared.selfTest(signal);
    expect(outcome).toMatchObject({ passed: true, threshold: 0.9 });
    expect(outcome.count).toBeGreaterThan(0);
    const bare = { ...source('1', `${examples}bare/scale-and-add.onnx`), name: 'bare' };
    expect(await (await slots.prepare(bare, signal)).selfTest(signal)).toMatchObject({ passed: true, count: 0 });
  });
});

describe('a version that replaces another with live sequences', () => {
  const counter = (version: string, path: string): ModelSource => ({ ...source(version, path), name: 'counter' });
  const add = async (id: string, number: number, flags: { start?: boolean; end?: boolean } = {}) => {
    const sequence = { id, start: false, end: false, ...flags };
    const model = slots.serving('counter', sequence)!;
    const deadlineMs = systemClock.monotonicMs() + 20_000;
    const request = { inputs: countingInputs([number]), outputs: [], deadlineMs, priority: 0, sequence };
    const { outputs } = await model.infer(request, signal);
    return `${model.identity.version}: ${float32Of(outputs[0]!)[0]}`;
  };
  const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
    promise.catch(({ code, message }: ServingError) => `${code}: ${message}`);

  it('takes the new ones; those that run end where they began', async () => {
    const path = writeCountingPackage(folder());
    const one = await slots.prepare(counter('1', path), signal);
    slots.activate(one);
    expect(await add('7', 1, { start: true })).toBe('1: 1');
    slots.activate(await slots.prepare(counter('2', path), signal));
    await slots.retire(one);
    expect(await add('8', 5, { start: true })).toBe('2: 5');
    expect(await add('7', 1)).toBe('1: 2');
    expect(slots.sequenceCounts('counter')).toMatchObject({ live: 2, started: 2 });
    expect(await add('7', 1, { end: true })).toBe('1: 3');
    await one.served.closed;
    expect(await add('7', 1, { start: true })).toBe('2: 1');
    expect(await add('8', 5, { end: true })).toBe('2: 10');
  });

  it('ends them when they take too long, and says so to who asks', async () => {
    const path = writeCountingPackage(folder(), 'sequences: { drainTimeoutMs: 30 }');
    const one = await slots.prepare(counter('1', path), signal);
    slots.activate(one);
    await add('7', 1, { start: true });
    slots.activate(await slots.prepare(counter('2', path), signal));
    await slots.retire(one);
    await one.served.closed;
    expect(await codeOf(add('7', 1))).toBe(
      'sequence-lost: sequence 7 has lost its state: its version, 1, was replaced and waited 30 ms for it to end; ' +
        'start it again (sequence_start)',
    );
    expect(await add('7', 1, { start: true })).toBe('2: 1');
  });
});

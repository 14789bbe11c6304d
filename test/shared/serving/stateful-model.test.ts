// A model with state as agent and hub serve it, through real executors.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { openServedModel } from '@tidegate/shared/serving/open-served-model.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { float32Of } from '@tidegate/shared/tensor/tensor.js';
import { countingInputs, writeCountingPackage } from '../../support/counting-package.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const digest = `sha256:${'0'.repeat(64)}`;
const identity = { name: 'counter', version: '1', versionDigest: digest, variant: 'fp32', variantDigest: digest };
const options = { providers: ['cpu'], intraOpThreads: 1, queueDepthMax: 512, heavy: false } as const;
const never = new AbortController().signal;
const HOURS = 2_000_000_000;

const temporaryFolder = temporaryFolders('stateful');
let runtime: ExecutorRuntime;
let folder: string;
let model: ServedModel;

beforeAll(async () => {
  runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
  folder = temporaryFolder();
  model = await open(writeCountingPackage(join(folder, 'counter'), 'sequences: { max: 40 }'));
});
afterAll(() => runtime.close());

const open = (path: string): Promise<ServedModel> =>
  openServedModel(path, identity, options, { runtime, inspect: inspectGraphFile, clock: systemClock }, never);

interface Asked {
  readonly start?: boolean;
  readonly end?: boolean;
  readonly rounds?: number;
  readonly timeoutMs?: number;
}
const add = async (
  to: ServedModel,
  id: string,
  numbers: readonly number[],
  { start = false, end = false, rounds = 1, timeoutMs = 20_000 }: Asked = {},
): Promise<number> => {
  const deadlineMs = systemClock.monotonicMs() + timeoutMs;
  const request = { inputs: countingInputs(numbers, rounds), outputs: [], deadlineMs, priority: 0 };
  const answer = await to.infer({ ...request, sequence: { id, start, end } }, new AbortController().signal);
  expect(answer.outputs.map(({ name }) => name)).toEqual(['sum']);
  return float32Of(answer.outputs[0]!)[0]!;
};
const errorOf = async (promise: Promise<unknown>): Promise<ServingError> => {
  const error: unknown = await promise.catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(ServingError);
  return error as ServingError;
};

describe('a model with state', () => {
  it('shows its state to nobody as an input or output, and as what sequences carry', () => {
    expect(model.metadata.inputs.map(({ name }) => name)).toEqual(['x', 'rounds']);
    expect(model.metadata.outputs.map(({ name }) => name)).toEqual(['sum']);
    expect(model.metadata.inner).toEqual([]);
    expect(model.details).toMatchObject({ batchRowsMax: 1, cached: false });
    expect(model.details.sequences?.state[0]?.carried).toEqual(new Map([['total_next', 'total']]));
  });

  it('adds up each of 32 sequences at once by itself, however they are mixed (B26)', async () => {
    const before = model.sequenceCounts!.live;
    const ids = Array.from({ length: 32 }, (_, i) => String(i + 1));
    const asked = Array.from({ length: 12 }, (_, step) =>
      ids.map((id) => add(model, id, [Number(id)], { start: step === 0, end: step === 11 })),
    );
    const sums = await Promise.all(asked.map((row) => Promise.all(row)));
    expect(sums).toEqual(sums.map((_, step) => ids.map((id) => Number(id) * (step + 1))));
    expect(model.sequenceCounts!.live).toBe(before);
  });

  it('refuses a request that names no sequence, or one that has not begun', async () => {
    const request = {
      inputs: countingInputs([1]),
      outputs: [],
      deadlineMs: systemClock.monotonicMs() + 1000,
      priority: 0,
    };
    const field = 'parameters.sequence_id';
    expect(await errorOf(model.infer(request, never))).toMatchObject({ code: 'invalid-argument', field });
    expect(await errorOf(add(model, '77', [1]))).toMatchObject({ code: 'invalid-argument', field });
  });

  it('begins again with a start, and not with what was there', async () => {
    expect(await add(model, 'again', [1, 2], { start: true })).toBe(3);
    expect(await add(model, 'again', [4])).toBe(7);
    expect(await add(model, 'again', [4], { start: true })).toBe(4);
    expect(await add(model, 'again', [1], { end: true })).toBe(5);
  });

  it('goes on from where it was after a request that came too late', async () => {
    expect(await add(model, 'late', [1], { start: true })).toBe(1);
    expect((await errorOf(add(model, 'late', [100], { rounds: HOURS, timeoutMs: 100 }))).code).toBe(
      'deadline-exceeded',
    );
    expect(await add(model, 'late', [1], { end: true })).toBe(2);
  });

  it('says that the state is lost when its executor dies, and answers all who begin anew', async () => {
    await add(model, 'a', [1], { start: true });
    await add(model, 'b', [1], { start: true });
    const midRun = errorOf(add(model, 'a', [1], { rounds: HOURS }));
    const starting = add(model, 'c', [5], { start: true });
    process.kill(model.graphs[0]!.pid!, 'SIGKILL');
    const lost = /^sequence a has lost its state: .*executor.*; start it again \(sequence_start\)$/;
    expect(await midRun).toMatchObject({ code: 'sequence-lost', message: expect.stringMatching(lost) as string });
    expect(await starting).toBe(5);
    expect((await errorOf(add(model, 'b', [1]))).code).toBe('sequence-lost');
    expect((await errorOf(add(model, 'b', [1]))).code).toBe('sequence-lost'); // and goes on saying so
    expect(await add(model, 'a', [3], { start: true, end: true })).toBe(3);
    expect(await add(model, 'c', [1], { end: true })).toBe(6);
  });

  it('holds each golden to the initial state', async () => {
    const goldens = [1, 2, 3].map((value) => ({
      id: String(value),
      inputs: {
        x: { datatype: 'FP32', shape: [1], data: [value] },
        rounds: { datatype: 'INT64', shape: [], data: [1] },
      },
      expected: [value + 10],
    }));
    const path = writeCountingPackage(
      join(folder, 'golden'),
      'goldens: { file: goldens.json, output: sum, metric: max-abs-error, threshold: 0 }',
    );
    writeFileSync(join(path, 'goldens.json'), JSON.stringify(goldens));
    const yaml = join(path, 'model.yaml');
    writeFileSync(yaml, readFileSync(yaml, 'utf8').replace('output: total_next', 'output: total_next, initial: [10]'));
    const golden = await open(path);
    expect(await golden.runGoldens(never)).toMatchObject({ passed: true, count: 3 });
    await golden.close();
  });

  it('closes at once, or when its sequences have ended, and takes no new ones meanwhile', async () => {
    const closing = await open(writeCountingPackage(join(folder, 'closing')));
    await add(closing, '1', [1], { start: true });
    let closed = false;
    const done = closing.close(60_000).then(() => (closed = true));
    expect((await errorOf(add(closing, '2', [1], { start: true }))).code).toBe('not-ready');
    expect(await add(closing, '1', [1])).toBe(2);
    expect(closed).toBe(false);
    expect(await add(closing, '1', [1], { end: true })).toBe(3);
    await done;
    const other = await open(writeCountingPackage(join(folder, 'other')));
    await add(other, '1', [1], { start: true });
    const draining = other.close(60_000);
    await other.close();
    await draining;
  });
});

// A model tries itself by its package's goldens. That real models pass them is held by served-model.test.ts and its neighbours.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { SelfTests } from '@tidegate/shared/serving/self-tests.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { bytesOf, float32Of, tensor } from '@tidegate/shared/tensor/tensor.js';
import { writeBarePackage } from '../../support/bare-package.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

type Infer = ServedModel['infer'];

const newFolder = temporaryFolders('self-tests');
const signal = new AbortController().signal;

/** Golden `i` feeds i, ..., i; a model that gives its input back answers it exactly. */
async function packageWith(goldens: number): ReturnType<typeof openPackage> {
  const field = '{ file: goldens.json, output: y, metric: max-abs-error, threshold: 0 }';
  const folder = writeBarePackage(newFolder(), 'm', goldens === 0 ? {} : { goldens: field });
  const golden = (_: unknown, i: number): object => ({
    id: `${i}`,
    inputs: { x: { datatype: 'FP32', shape: [1, 4], data: [i, i, i, i] } },
    expected: [i, i, i, i],
  });
  writeFileSync(join(folder, 'goldens.json'), JSON.stringify(Array.from({ length: goldens }, golden)));
  return openPackage(folder, { inspect: () => Promise.reject(new Error('not needed')) });
}

/** A model that gives x back as y, and what it was asked at 1,000 ms. */
async function modelWith(goldens: number, before: () => void | Promise<void> = () => undefined) {
  const clock = new ManualClock();
  clock.advance(1000);
  const asked: Parameters<Infer>[0][] = [];
  const infer: Infer = async (request) => {
    asked.push(request);
    await before();
    request.onFeeds?.('m.onnx', request.inputs);
    const data = request.inputs[0]!.data;
    return { outputs: [tensor('y', 'FP32', [1, 4], data)], queueUs: 1, computeUs: 2, confidence: undefined };
  };
  const tests = new SelfTests(await packageWith(goldens), { infer }, clock);
  return { tests, asked, fed: () => asked.map(({ inputs }) => float32Of(inputs[0]!)[0]) };
}

describe('the self-tests of a model', () => {
  it('ask each golden as a sequence of its own, with a minute to answer, and score it', async () => {
    const { tests, asked, fed } = await modelWith(3);
    const told: unknown[] = [];
    const result = await tests.runGoldens(signal, (...progress) => told.push(progress));
    expect(result).toMatchObject({ passed: true, count: 3, exact: 3 });
    expect(fed()).toEqual([0, 1, 2]);
    const sequence = { id: 'golden', scope: 'goldens', start: true, end: true };
    for (const request of asked)
      expect(request).toMatchObject({ outputs: ['y'], deadlineMs: 61_000, priority: 0, sequence });
    expect(told).toEqual([1, 2, 3].map((done) => [done, 3]));
  });

  it('pass with count 0 where the package has no goldens, and ask nothing', async () => {
    const { tests, asked } = await modelWith(0);
    expect(await tests.runGoldens(signal)).toMatchObject({ passed: true, count: 0 });
    await tests.warmUp(signal, () => undefined);
    expect(asked).toEqual([]);
  });

  it('warm up by at most eight goldens from all over the file, each with half an hour to compile (B19)', async () => {
    const { tests, asked, fed } = await modelWith(16);
    const told: unknown[] = [];
    await tests.warmUp(signal, (...progress) => told.push(progress));
    expect(fed()).toEqual([0, 2, 4, 6, 8, 10, 12, 14]);
    expect(new Set(asked.map(({ deadlineMs }) => deadlineMs))).toEqual(new Set([1_801_000]));
    expect(told.at(-1)).toEqual([8, 8]);
  });

  it('tell what at most 64 goldens feed its graphs', async () => {
    const { tests } = await modelWith(100);
    const heard: unknown[] = [];
    await tests.feed((graph, feeds) => heard.push([graph, feeds[0]?.name]), signal);
    expect(heard).toEqual(Array.from({ length: 64 }, () => ['m.onnx', 'x']));
  });

  it('answer one request of whoever loaded it, with all outputs and its times', async () => {
    const { tests, asked } = await modelWith(0);
    const x = tensor('x', 'FP32', [1, 4], bytesOf(Float32Array.of(7, 7, 7, 7)));
    const answer = await tests.trial([x], signal);
    expect(answer).toMatchObject({ outputs: [{ name: 'y', data: x.data }], queueUs: 1, computeUs: 2 });
    expect(asked).toMatchObject([{ outputs: [], deadlineMs: 61_000 }]);
  });

  it('run until the last of them has ended, also where one fails', async () => {
    const runs: { resolve(): void; reject(error: Error): void }[] = [];
    const { tests } = await modelWith(0, () => new Promise((resolve, reject) => runs.push({ resolve, reject })));
    const x = tensor('x', 'FP32', [1, 4], new Uint8Array(16));
    expect(tests.running).toBe(false);
    const [one, two] = [tests.trial([x], signal), tests.trial([x], signal)];
    expect(tests.running).toBe(true);
    runs[0]!.reject(new Error('its executor died'));
    await expect(one).rejects.toThrow('its executor died');
    expect(tests.running).toBe(true);
    runs[1]!.resolve();
    await two;
    expect(tests.running).toBe(false);
  });
});

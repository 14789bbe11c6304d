// The steps on scores and boxes of any model: softmax, top-k, filter-rows, non-maximum-suppression.
import { describe, expect, it } from 'vitest';
import { findStep } from '@tidegate/shared/steps/step-catalogue.js';
import type { PreparedStep } from '@tidegate/shared/steps/step.js';
import { decodeBytes, encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf, float32Of, type Tensor } from '@tidegate/shared/tensor/tensor.js';

const signal = new AbortController().signal;
const noAssets = { read: () => Promise.reject(new Error('no assets')) };
const prepare = (name: string, parameters: object = {}): Promise<PreparedStep> =>
  findStep(name).prepare(parameters, noAssets);
const run = async (name: string, parameters: object, ...inputs: Tensor[]): Promise<Tensor[]> =>
  (await prepare(name, parameters)).run(inputs, signal);

const fp32 = (shape: number[], values: readonly number[]): Tensor => ({
  datatype: 'FP32',
  shape,
  data: bytesOf(Float32Array.from(values)),
});
const words = (...values: string[]): Tensor => ({
  datatype: 'BYTES',
  shape: [values.length],
  data: encodeBytes(values.map((value) => new TextEncoder().encode(value))),
});
const texts = (tensor: Tensor | undefined): string[] =>
  (decodeBytes(tensor?.data ?? new Uint8Array()) ?? []).map((one) => new TextDecoder().decode(one));
const numbers = (tensor: Tensor | undefined): number[] => (tensor === undefined ? [] : [...float32Of(tensor)]);
const indices = (tensor: Tensor | undefined): number[] =>
  Array.from(new BigInt64Array(new Uint8Array(tensor?.data ?? []).buffer), Number);

describe('softmax', () => {
  it('makes probabilities of each row, and never overflows', async () => {
    const [out] = await run('softmax', {}, fp32([1, 2, 2], [1000, 1000, 0, Math.log(3)]));
    expect(out?.shape).toEqual([1, 2, 2]);
    const expected = [0.5, 0.5, 0.25, 0.75];
    for (const [at, value] of numbers(out).entries()) expect(value).toBeCloseTo(expected[at] ?? NaN, 6);
  });

  it('keeps the type, and takes FP32 with classes only', async () => {
    const step = await prepare('softmax');
    expect(step.inferTypes([{ datatype: 'FP32', shape: [-1, 3] }])).toEqual([{ datatype: 'FP32', shape: [-1, 3] }]);
    expect(() => step.inferTypes([{ datatype: 'INT64', shape: [3] }])).toThrow('step softmax: takes FP32');
    await expect(run('softmax', {}, fp32([2, 0], []))).rejects.toThrow('rows without classes');
    expect((await run('softmax', {}, fp32([0, 3], [])))[0]?.shape).toEqual([0, 3]);
  });
});

describe('top-k', () => {
  it('gives the best first; of equals the first, a NaN last', async () => {
    const scores = fp32([2, 4], [0.1, 0.5, 0.5, 0.2, NaN, 0.1, 0.3, 0.2]);
    const [label, score, index] = await run('top-k', { k: 3, labels: ['a', 'b', 'c', 'd'] }, scores);
    expect(label?.shape).toEqual([2, 3]);
    expect(texts(label)).toEqual(['b', 'c', 'd', 'c', 'd', 'b']);
    expect(numbers(score)).toEqual([0.5, 0.5, 0.2, 0.3, 0.2, 0.1].map(Math.fround));
    expect(indices(index)).toEqual([1, 2, 3, 2, 3, 1]);
  });

  it('takes a NaN for less than any number', async () => {
    const [, , index] = await run('top-k', { k: 3 }, fp32([1, 3], [NaN, -Infinity, 0]));
    expect(indices(index)).toEqual([2, 1, 0]);
  });

  it('names classes by number without labels, and never more than there are', async () => {
    expect(texts((await run('top-k', { k: 1 }, fp32([1, 3], [0, 2, 1])))[0])).toEqual(['1']);
    await expect(run('top-k', { k: 4 }, fp32([1, 3], [0, 2, 1]))).rejects.toThrow('with.k: is more than the 3 classes');
    await expect(prepare('top-k', { k: 3, labels: ['a'] })).rejects.toThrow('with.k: is more than the 1 classes');
    const step = await prepare('top-k', { k: 2 });
    expect(() => step.inferTypes([{ datatype: 'FP32', shape: [1, 1] }])).toThrow('is more than the 1 classes');
    expect(step.inferTypes([{ datatype: 'FP32', shape: [-1, 9] }]).map(({ datatype }) => datatype)).toEqual([
      'BYTES',
      'FP32',
      'INT64',
    ]);
  });
});

describe('filter-rows', () => {
  it('keeps rows of all values together, in their order', async () => {
    const scores = fp32([4], [0.9, 0.2, NaN, 0.5]);
    const boxes = fp32([4, 2], [1, 2, 3, 4, 5, 6, 7, 8]);
    const [kept, names, corners] = await run('filter-rows', { least: 0.5 }, scores, words('a', 'b', 'c', 'd'), boxes);
    expect(numbers(kept)).toEqual([Math.fround(0.9), 0.5]);
    expect(texts(names)).toEqual(['a', 'd']);
    expect(corners).toMatchObject({ datatype: 'FP32', shape: [2, 2] });
    expect(numbers(corners)).toEqual([1, 2, 7, 8]);
  });

  it('may keep none, or be given none', async () => {
    const [none, names] = await run('filter-rows', { least: 2 }, fp32([1], [1]), words('a'));
    expect([none?.shape, names?.shape, names?.data.byteLength]).toEqual([[0], [0], 0]);
    expect((await run('filter-rows', { least: 0 }, fp32([0], [])))[0]?.shape).toEqual([0]);
  });

  it('refuses rows that do not belong together', async () => {
    await expect(run('filter-rows', { least: 0 }, fp32([2], [1, 1]), words('a'))).rejects.toThrow(
      'takes one row a score, but is given BYTES [1] for FP32 [2]',
    );
    const step = await prepare('filter-rows', { least: 0 });
    expect(() => step.inferTypes([])).toThrow('takes the scores first');
    expect(step.inferTypes([{ datatype: 'FP32', shape: [3] }])).toEqual([{ datatype: 'FP32', shape: [-1] }]);
  });
});

describe('non-maximum-suppression', () => {
  const boxes = fp32([4, 4], [0, 0, 10, 10, 1, 0, 11, 10, 20, 20, 30, 30, 0, 0, 5, 10]);

  it('drops what overlaps a better box by more than is allowed', async () => {
    const scores = fp32([4], [0.6, 0.9, 0.3, 0.5]);
    const [kept, sure, index] = await run('non-maximum-suppression', { overlap: 0.5 }, boxes, scores);
    expect(indices(index)).toEqual([1, 3, 2]);
    expect(kept?.shape).toEqual([3, 4]);
    expect(numbers(kept).slice(0, 4)).toEqual([1, 0, 11, 10]);
    expect(numbers(sure)).toEqual([0.9, 0.5, 0.3].map(Math.fround));
  });

  it('drops low scores and NaN, keeps a limit, and takes no boxes at all', async () => {
    const scores = fp32([4], [0.6, NaN, 0.1, 0.5]);
    expect(indices((await run('non-maximum-suppression', {}, boxes, scores))[2])).toEqual([0]);
    const all = await run('non-maximum-suppression', { overlap: 1, least: 0, maxBoxes: 2 }, boxes, scores);
    expect(indices(all[2])).toEqual([0, 3]);
    const none = await run('non-maximum-suppression', {}, fp32([0, 4], []), fp32([0], []));
    expect(none.map(({ shape }) => shape)).toEqual([[0, 4], [0], [0]]);
  });

  it('holds scores against boxes', async () => {
    await expect(run('non-maximum-suppression', {}, boxes, fp32([3], [1, 1, 1]))).rejects.toThrow('takes FP32 [4]');
    await expect(run('non-maximum-suppression', {}, boxes)).rejects.toThrow('takes 2 inputs (boxes, scores)');
  });
});

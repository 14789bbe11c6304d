// The steps that make answers: ctc-decode, classify.
import { describe, expect, it } from 'vitest';
import { findStep } from '@tidegate/shared/steps/step-catalogue.js';
import type { StepAssets } from '@tidegate/shared/steps/step.js';
import { decodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf, float32Of, type Tensor } from '@tidegate/shared/tensor/tensor.js';

const signal = new AbortController().signal;

function assetsOf(files: Readonly<Record<string, string | Uint8Array>>): StepAssets {
  return {
    read: (path) => {
      const content = files[path];
      if (content === undefined) return Promise.reject(new Error(`the package has no file '${path}'`));
      return Promise.resolve(typeof content === 'string' ? new TextEncoder().encode(content) : content);
    },
  };
}

const fp32 = (shape: number[], values: readonly number[]): Tensor => ({
  datatype: 'FP32',
  shape,
  data: bytesOf(Float32Array.from(values)),
});
const texts = (tensor: Tensor | undefined): string[] =>
  (decodeBytes(tensor?.data ?? new Uint8Array()) ?? []).map((one) => new TextDecoder().decode(one));
const numbers = (tensor: Tensor | undefined): number[] => (tensor === undefined ? [] : [...float32Of(tensor)]);

describe('ctc-decode', () => {
  // Classes: 0 blank, 1 a, 2 b, 3 中, 4 space.
  const assets = assetsOf({ 'dict.txt': 'a\nb\r\n中\n' });
  /** Rows of time steps: the winning class with its probability. */
  const probabilities = (...rows: (readonly (readonly [number, number])[])[]): Tensor => {
    const steps = rows[0]?.length ?? 0;
    const values = rows.flatMap((row) =>
      row.flatMap(([best, p]) => Array.from({ length: 5 }, (_, c) => (c === best ? p : (1 - p) / 4))),
    );
    return fp32([rows.length, steps, 5], values);
  };

  async function decode(input: Tensor, parameters: object = {}): Promise<Tensor[]> {
    return (await findStep('ctc-decode').prepare({ dictionary: 'dict.txt', ...parameters }, assets)).run(
      [input],
      signal,
    );
  }

  it('merges repeats, keeps what a blank parts, drops blanks', async () => {
    const line = [
      [1, 0.9],
      [1, 0.5],
      [0, 0.9],
      [1, 0.7],
      [4, 0.8],
      [3, 0.6],
      [0, 0.9],
    ] as const;
    const [text, confidence] = await decode(probabilities(line));
    expect(texts(text)).toEqual(['aa 中']);
    expect(text).toMatchObject({ datatype: 'BYTES', shape: [1] });
    expect(numbers(confidence)[0]).toBeCloseTo((0.9 + 0.7 + 0.8 + 0.6) / 4, 6);
  });

  it('reads each row on its own; an empty line has the confidence 0', async () => {
    const [text, confidence] = await decode(
      probabilities(
        [
          [2, 0.9],
          [2, 0.9],
        ],
        [
          [0, 0.9],
          [0, 0.9],
        ],
      ),
    );
    expect(texts(text)).toEqual(['b', '']);
    expect(numbers(confidence)).toEqual([Math.fround(0.9), 0]);
  });

  it('takes the first of equals, as argmax does', async () => {
    const [text] = await decode(fp32([1, 1, 5], [0.1, 0.4, 0.4, 0.1, 0]));
    expect(texts(text)).toEqual(['a']);
  });

  it('takes the blank where it is said to be', async () => {
    const [text] = await decode(fp32([1, 2, 5], [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]), { blank: 4 });
    expect(texts(text)).toEqual(['a']);
  });

  it('holds the class count against the dictionary', async () => {
    const step = await findStep('ctc-decode').prepare({ dictionary: 'dict.txt' }, assets);
    expect(() => step.inferTypes([{ datatype: 'FP32', shape: [-1, -1, 7] }])).toThrow(
      'with.dictionary: makes 5 classes, but the input is FP32 [-1, -1, 7]',
    );
    expect(step.inferTypes([{ datatype: 'FP32', shape: [2, -1, 5] }])).toEqual([
      { datatype: 'BYTES', shape: [2] },
      { datatype: 'FP32', shape: [2] },
    ]);
    await expect(step.run([fp32([1, 1, 4], [1, 0, 0, 0])], signal)).rejects.toThrow('FP32 [1, 1, 4]');
  });

  it.each([
    ['a dictionary that is missing', {}, "with.dictionary: the package has no file 'dict.txt'"],
    ['one that is empty', { 'dict.txt': '' }, 'with.dictionary: dict.txt is empty'],
    ['one that is no text', { 'dict.txt': Uint8Array.of(0xff, 0xfe, 0x00) }, 'with.dictionary: dict.txt is not UTF-8'],
  ])('refuses %s', async (_, files, message) => {
    const prepared = findStep('ctc-decode').prepare({ dictionary: 'dict.txt' }, assetsOf(files));
    await expect(prepared).rejects.toMatchObject({
      name: 'StepError',
      message: expect.stringContaining(message) as string,
    });
  });
});

describe('classify', () => {
  async function classify(input: Tensor, parameters: object = {}): Promise<Tensor[]> {
    return (await findStep('classify').prepare(parameters, assetsOf({ 'labels.txt': 'cat\ndog\n' }))).run(
      [input],
      signal,
    );
  }

  it('gives the best class of each row with its softmax', async () => {
    const [label, confidence, probabilities] = await classify(fp32([2, 3], [1, 2, 3, 900, -900, 0]));
    expect(texts(label)).toEqual(['2', '0']);
    const [sum] = [Math.exp(-2) + Math.exp(-1) + 1];
    expect(numbers(confidence)[0]).toBeCloseTo(1 / sum, 6);
    expect(numbers(confidence)[1]).toBe(1);
    expect(probabilities?.shape).toEqual([2, 3]);
    expect(
      numbers(probabilities)
        .slice(0, 3)
        .reduce((a, b) => a + b),
    ).toBeCloseTo(1, 6);
  });

  it('names classes from a list or a file, and takes probabilities as they are', async () => {
    const input = fp32([1, 2], [0.25, 0.75]);
    const [label, confidence] = await classify(input, { labels: 'labels.txt', activation: 'none' });
    expect([texts(label), numbers(confidence)]).toEqual([['dog'], [0.75]]);
    expect(texts((await classify(input, { labels: ['no', 'yes'] }))[0])).toEqual(['yes']);
  });

  it('has no confidence in NaN', async () => {
    const [, confidence] = await classify(fp32([2, 2], [NaN, 1, 1, 2]));
    expect(numbers(confidence)[0]).toBe(0);
    expect(numbers(confidence)[1]).toBeGreaterThan(0.7);
  });

  it('holds the class count against the labels', async () => {
    const step = await findStep('classify').prepare({ labels: 'labels.txt' }, assetsOf({ 'labels.txt': 'a\nb\n' }));
    expect(() => step.inferTypes([{ datatype: 'FP32', shape: [-1, 10] }])).toThrow(
      'with.labels: names 2 classes, but the input is FP32 [-1, 10]',
    );
    await expect(classify(fp32([1, 0], []))).rejects.toThrow('without classes');
  });
});

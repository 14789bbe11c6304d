import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  characterAccuracy,
  editDistance,
  overall,
  passes,
  scoreGolden,
} from '@tidegate/shared/package/score-goldens.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf, type Tensor } from '@tidegate/shared/tensor/tensor.js';

const text = (...values: string[]): Tensor => ({
  datatype: 'BYTES',
  shape: [values.length],
  data: encodeBytes(values.map((value) => new TextEncoder().encode(value))),
});
const fp32 = (...values: number[]): Tensor => ({
  datatype: 'FP32',
  shape: [values.length],
  data: bytesOf(Float32Array.from(values)),
});
const int64 = (...values: bigint[]): Tensor => ({
  datatype: 'INT64',
  shape: [values.length],
  data: bytesOf(BigInt64Array.from(values)),
});

describe('character accuracy', () => {
  it.each([
    ['kitten', 'kitten', 1],
    ['kitten', 'sitting', 1 - 3 / 6],
    ['kitten', '', 0],
    ['', '', 1],
    ['', 'x', 0],
    ['ab', 'completely else', 0],
    ['净含量500克', '净含量50克', 1 - 1 / 7],
    ['a𝒳b', 'ab', 1 - 1 / 3],
  ])('of %j read as %j is %d', (expected, actual, score) => {
    expect(characterAccuracy(expected, actual)).toBeCloseTo(score, 12);
    expect(scoreGolden('character-accuracy', expected, text(actual)).exact).toBe(expected === actual);
  });

  it('is an edit distance: symmetric, 0 only for equals, within the triangle', () => {
    const word = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 8 });
    fc.assert(
      fc.property(word, word, word, (a, b, c) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, b) === 0).toBe(a.join('') === b.join(''));
        expect(editDistance(a, c)).toBeLessThanOrEqual(editDistance(a, b) + editDistance(b, c));
      }),
    );
  });
});

describe('scoreGolden', () => {
  it('compares exactly', () => {
    expect(scoreGolden('exact', 'seven', text('seven'))).toEqual({ score: 1, exact: true });
    expect(scoreGolden('exact', 7, text('7')).score).toBe(1);
    expect(scoreGolden('exact', [1, 2], fp32(1, 2)).score).toBe(1);
    expect(scoreGolden('exact', [1, 2], fp32(1, 2, 3)).score).toBe(0);
    expect(scoreGolden('exact', 7, int64(7n)).score).toBe(1);
  });

  it('takes the largest score as the class, or the class itself', () => {
    expect(scoreGolden('top1', 2, fp32(0.1, 0.2, 0.7)).score).toBe(1);
    expect(scoreGolden('top1', 1, fp32(0.1, 0.2, 0.7)).score).toBe(0);
    expect(scoreGolden('top1', 3, int64(3n)).score).toBe(1);
    expect(scoreGolden('top1', 'cat', text('cat')).score).toBe(1);
    expect(scoreGolden('top1', 0, fp32(NaN, 1)).score).toBe(0);
  });

  it('measures the largest error, and an answer that can not be compared as infinitely wrong', () => {
    expect(scoreGolden('max-abs-error', [1, 2], fp32(1.5, 1.75)).score).toBe(0.5);
    expect(scoreGolden('max-abs-error', [1, 2], fp32(1, 2))).toEqual({ score: 0, exact: true });
    expect(scoreGolden('max-abs-error', [1, 2], fp32(1)).score).toBe(Infinity);
    expect(scoreGolden('max-abs-error', [1, 2], fp32(1, NaN)).score).toBe(Infinity);
    expect(scoreGolden('max-abs-error', [1, 2], text('1')).score).toBe(Infinity);
  });
});

describe('overall', () => {
  it('means scores, but takes the largest error', () => {
    expect(overall('exact', [1, 0, 1, 0])).toBe(0.5);
    expect(overall('max-abs-error', [0.1, 0.5, 0.2])).toBe(0.5);
  });

  it('passes from the threshold on, and never with a NaN', () => {
    expect(passes('exact', 0.9, 0.9)).toBe(true);
    expect(passes('exact', 0.89, 0.9)).toBe(false);
    expect(passes('max-abs-error', 0.1, 0.1)).toBe(true);
    expect(passes('max-abs-error', 0.2, 0.1)).toBe(false);
    expect(passes('exact', NaN, 0)).toBe(false);
    expect(passes('max-abs-error', NaN, 1)).toBe(false);
  });
});

import { describe, expect, test } from 'vitest';
import { bytesOf, fitShape, float32Of, tensor } from '@tidegate/shared/tensor/tensor.js';

describe('FP32 elements of a tensor', () => {
  const values = [1.5, -2, 0.25];
  /** The values' bytes behind `before` others, as a part of a body that was read is. */
  const behind = (before: number, bytes: (size: number) => Uint8Array): Uint8Array => {
    const body = bytes(before + 12);
    body.set(bytesOf(Float32Array.from(values)), before);
    return body.subarray(before);
  };

  test.each([0, 1, 2, 3, 4, 7])(
    'are those of its bytes, also %i bytes behind the beginning of what holds them',
    (at) => {
      const sources = [
        (size: number) => new Uint8Array(size),
        (size: number) => Buffer.from(new Uint8Array(size)), // a part of Node's pool: its slice() is no copy
        (size: number) => Buffer.from(new ArrayBuffer(size)),
      ];
      for (const bytes of sources) {
        expect([...float32Of(tensor('x', 'FP32', [3], behind(at, bytes)))]).toEqual(values);
      }
    },
  );
});

test('a number of elements fits a declared shape by its innermost dynamic dimension, or not at all', () => {
  expect(fitShape([-1, -1, 3], 6)).toEqual([1, 2, 3]);
  expect(fitShape([2, 2], 4)).toEqual([2, 2]);
  expect(fitShape([], 1)).toEqual([]);
  expect(fitShape([-1, 4], 0)).toEqual([0, 4]);
  for (const [declared, count] of [
    [[2, 2], 3],
    [[-1, 4], 6],
    [[-1, 4], 1.5],
    [[-1, 0], 1],
    [[], 2],
    [[-1, 2 ** 30, 2 ** 30], 1],
  ] as const) {
    expect([declared, count, fitShape(declared, count)]).toEqual([declared, count, undefined]);
  }
});

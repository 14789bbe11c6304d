import { describe, expect, it } from 'vitest';
import { decodeBytes, encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { takeRows } from '@tidegate/shared/tensor/take-rows.js';
import { bytesOf, type Tensor } from '@tidegate/shared/tensor/tensor.js';

const int16 = (...rows: number[][]): Tensor => ({
  datatype: 'INT16',
  shape: [rows.length, rows[0]?.length ?? 0],
  data: bytesOf(Int16Array.from(rows.flat())),
});
const words = (...values: string[]): Tensor => ({
  datatype: 'BYTES',
  shape: [values.length / 2, 2],
  data: encodeBytes(values.map((value) => Buffer.from(value))),
});

describe('takeRows', () => {
  it('puts rows of several tensors together, and zeros where none is named', () => {
    const [a, b] = [int16([1, 2], [3, 4]), int16([5, 6])];
    const rows = [{ of: a, at: 1 }, undefined, { of: b, at: 0 }, { of: a, at: 1 }];
    expect(takeRows(a, 4, (at) => rows[at])).toEqual(int16([3, 4], [0, 0], [5, 6], [3, 4]));
  });

  it('does so with texts of any length', () => {
    const [a, b] = [words('one', 'two', 'three', ''), words('x', 'yy')];
    const rows = [{ of: b, at: 0 }, undefined, { of: a, at: 1 }];
    const taken = takeRows(a, 3, (at) => rows[at]);
    expect(taken.shape).toEqual([3, 2]);
    const texts = decodeBytes(taken.data)?.map((element) => Buffer.from(element).toString());
    expect(texts).toEqual(['x', 'yy', '', '', 'three', '']);
  });

  it('makes no rows of none', () => {
    expect(takeRows(int16([1, 2]), 0, () => undefined)).toEqual({ ...int16(), shape: [0, 2] });
  });
});

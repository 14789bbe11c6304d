import { describe, expect, it } from 'vitest';
import { makeRow } from '@tidegate/shared/serving/made-up-row.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import type { TensorSpec } from '@tidegate/shared/tensor/tensor.js';

const image: TensorSpec = { name: 'image', datatype: 'FP32', shape: [-1, 2, -1] };
const ids: TensorSpec = { name: 'ids', datatype: 'INT64', shape: [-1, 4] };
const make = (inputs: readonly TensorSpec[], shapes: Record<string, number[]> = {}) =>
  makeRow(inputs, new Map(Object.entries(shapes)), seededRandom(1));

describe('a row that is made up', () => {
  it('makes a row by the signature: a batch of one, zeros for integers', () => {
    const [row] = make([ids]);
    expect(row?.shape).toEqual([1, 4]);
    expect(row?.data).toEqual(new Uint8Array(32));
  });

  it('asks for a dynamic dimension, naming the input and the flag, and takes only what fits', () => {
    expect(() => make([image])).toThrow('--shape image=1x2x1');
    expect(make([image], { image: [1, 2, 3] })[0]?.data.byteLength).toBe(24);
    expect(() => make([image], { image: [1, 3, 3] })).toThrow("input 'image' has the shape [-1, 2, -1], not [1, 3, 3]");
    expect(() => make([{ name: 't', datatype: 'BYTES', shape: [1] }])).toThrow('goldens');
  });
});

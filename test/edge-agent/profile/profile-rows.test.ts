import { describe, expect, it } from 'vitest';
import { firstRow, repeatRow, takesBatches } from '@tidegate/edge-agent/profile/profile-rows.js';
import { bytesOf, float32Of, tensor, type TensorSpec } from '@tidegate/shared/tensor/tensor.js';

const image: TensorSpec = { name: 'image', datatype: 'FP32', shape: [-1, 2, -1] };
const ids: TensorSpec = { name: 'ids', datatype: 'INT64', shape: [-1, 4] };

describe('profile rows', () => {
  it('takes a first row and repeats it', () => {
    const two = tensor('x', 'FP32', [2, 2], bytesOf(Float32Array.of(1, 2, 3, 4)));
    const row = firstRow([two]);
    expect(row[0]?.shape).toEqual([1, 2]);
    const [three] = repeatRow(row, 3);
    expect(three?.shape).toEqual([3, 2]);
    expect([...float32Of(three ?? two)]).toEqual([1, 2, 1, 2, 1, 2]);
  });

  it('batches only where every first dimension is dynamic', () => {
    expect(takesBatches([image], [ids])).toBe(true);
    expect(takesBatches([image], [{ name: 'y', datatype: 'FP32', shape: [1] }])).toBe(false);
    expect(takesBatches([image], [{ name: 'y', datatype: 'FP32', shape: [] }])).toBe(false);
  });
});

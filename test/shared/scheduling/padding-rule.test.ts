import { describe, expect, it } from 'vitest';
import {
  bucketOf,
  cutOutputs,
  differenceBetween,
  lengthOf,
  padFeeds,
  type PaddingRule,
} from '@tidegate/shared/scheduling/padding-rule.js';
import type { Datatype } from '@tidegate/shared/tensor/datatype.js';
import { bytesOf, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';

const rule: PaddingRule = {
  field: 'pipeline.0.ragged',
  inputs: [
    { name: 'ids', axis: 1, element: Uint8Array.of(7, 0, 0, 0) },
    { name: 'mask', axis: 1, element: Uint8Array.of(0) },
  ],
  outputs: [{ name: 'hidden', axis: 1 }],
  tolerance: 0.001,
  maxWaste: 0.25,
};
const ids = (...values: number[]): NamedTensor =>
  tensor('ids', 'INT32', [1, values.length], bytesOf(Int32Array.from(values)));
const mask = (length: number): NamedTensor => tensor('mask', 'BOOL', [1, length], new Uint8Array(length).fill(1));
const y = (datatype: Datatype, values: ArrayBufferView, shape: number[]): NamedTensor[] => [
  tensor('y', datatype, shape, bytesOf(values)),
];

describe('the rule of padding', () => {
  it('knows the one length of its inputs', () => {
    expect(lengthOf([ids(1, 2, 3), mask(3)], rule)).toBe(3);
    expect(lengthOf([ids(1, 2, 3), mask(2)], rule)).toBeUndefined();
    expect(lengthOf([ids(1, 2, 3)], rule)).toBeUndefined();
  });

  it('measures lengths that differ by less than a quarter as one', () => {
    expect([1, 2, 3, 4, 5, 8, 9, 10, 11, 33, 40, 41, 128, 129].map(bucketOf)).toEqual([
      1, 2, 3, 4, 5, 8, 10, 10, 12, 40, 40, 48, 128, 160,
    ]);
    for (let length = 1; length < 3000; length += 1) {
      expect(bucketOf(length)).toBeGreaterThanOrEqual(length);
      expect(bucketOf(length)).toBeLessThan(length * 1.25);
    }
  });

  it('fills inputs up, leaves others as they are, and cuts outputs back', () => {
    const other = tensor('scale', 'FP32', [1, 1], new Uint8Array(4));
    const padded = padFeeds([ids(1, 2), mask(2), other], rule, 4);
    expect(padded).toEqual([ids(1, 2, 7, 7), { ...mask(4), data: Uint8Array.of(1, 1, 0, 0) }, other]);
    const hidden = tensor(
      'hidden',
      'INT8',
      [2, 4, 2],
      Uint8Array.from({ length: 16 }, (_, at) => at),
    );
    const [cut, same] = cutOutputs([hidden, other], rule, 4, 3) ?? [];
    expect(cut).toEqual({ ...hidden, shape: [2, 3, 2], data: Uint8Array.of(0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13) });
    expect(same).toBe(other);
    expect(cutOutputs([hidden], rule, 5, 3)).toBeUndefined();
  });

  it('tells outputs apart by the largest difference of an element', () => {
    const at = (...values: number[]): NamedTensor[] => y('FP32', Float32Array.from(values), [values.length]);
    expect(differenceBetween(at(1, 2000), at(1.0005, 2001), 0.001)).toBeUndefined();
    expect(differenceBetween(at(1, 2), at(1, 2.01), 0.001)).toMatch(
      /^output 'y' differs by 0\.0049\d \(0\.001 is allowed\)$/,
    );
    expect(differenceBetween(at(Number.NaN), at(Number.NaN), 0)).toBeUndefined();
    expect(differenceBetween(at(Number.NaN, 1), at(1, 1), 1)).toMatch(/differs by NaN/);
    expect(differenceBetween(at(Infinity), at(1), 1)).toMatch(/differs/);
    expect(differenceBetween(at(1), [], 1)).toBe("output 'y' has the shape [] in place of [1]");
  });

  it('compares half floats by their values, and whole numbers exactly', () => {
    const half = (...bits: number[]): NamedTensor[] => y('FP16', Uint16Array.from(bits), [bits.length]);
    expect(differenceBetween(half(0x3c00, 0x0001, 0xfc00), half(0x3c01, 0x0001, 0xfc00), 0.001)).toBeUndefined(); // 1 and 1.00098
    expect(differenceBetween(half(0x3c00), half(0x3c02), 0.001)).toMatch(/differs by 0\.00195/);
    const brain = (bits: number): NamedTensor[] => y('BF16', Uint16Array.of(bits), [1]);
    expect(differenceBetween(brain(0x3f80), brain(0x3f81), 0.001)).toMatch(/differs by 0\.00775/); // 1 and 1.0078
    const whole = (value: number): NamedTensor[] => y('INT32', Int32Array.of(value), [1]);
    expect(differenceBetween(whole(1), whole(1), 0)).toBeUndefined();
    expect(differenceBetween(whole(1), whole(2), 1)).toMatch(/differs by Infinity/);
  });
});

import { describe, expect, test } from 'vitest';
import { classify } from '@tidegate/shared/serving/classification.js';
import { decodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';

const fp32 = (shape: number[], values: number[]): NamedTensor => ({
  name: 'logits',
  datatype: 'FP32',
  shape,
  data: bytesOf(new Float32Array(values)),
});
const text = ({ data }: NamedTensor): string[] => (decodeBytes(data) ?? []).map((one) => Buffer.from(one).toString());
const options = { classes: 2, batched: false, labels: undefined, field: 'outputs[0]' };

describe('classification', () => {
  test('each row by itself where rows come first, with the labels that there are', () => {
    const answer = classify(fp32([2, 3], [0.5, 2, -1, 9, 8, 9]), { ...options, batched: true, labels: ['a', 'b'] });
    expect(answer).toMatchObject({ name: 'logits', datatype: 'BYTES', shape: [2, 2] });
    expect(text(answer)).toEqual(['2.000000:1:b', '0.500000:0:a', '9.000000:0:a', '9.000000:2']);
  });

  test('the whole output where they do not; fewer elements than classes', () => {
    expect(text(classify(fp32([2, 2], [1, 4, 2, 3]), options))).toEqual(['4.000000:1', '3.000000:3']);
    expect(classify(fp32([1], [7]), { ...options, classes: 5 })).toMatchObject({ shape: [1] });
    expect(classify(fp32([0, 3], []), { ...options, batched: true })).toMatchObject({ shape: [0, 0] });
  });

  test('NaN is least, infinities and integers are written out', () => {
    const odd = fp32([4], [Number.NaN, 1, -Infinity, Infinity]);
    expect(text(classify(odd, { ...options, classes: 4 }))).toEqual(['inf:3', '1.000000:1', '-inf:2', 'nan:0']);
    const data = bytesOf(new BigInt64Array([2n ** 60n, -5n, 2n ** 60n + 1n]));
    const whole: NamedTensor = { name: 'n', datatype: 'INT64', shape: [3], data };
    expect(text(classify(whole, options))).toEqual([`${2n ** 60n + 1n}:2`, `${2n ** 60n}:0`]);
  });

  test.each(['BYTES', 'FP16', 'BOOL'] as const)('%s has no scores', (datatype) => {
    const output: NamedTensor = { name: 'y', datatype, shape: [0], data: new Uint8Array() };
    expect(() => classify(output, options)).toThrow(
      expect.objectContaining({ code: 'invalid-argument', field: 'outputs[0].parameters.classification' }),
    );
  });
});

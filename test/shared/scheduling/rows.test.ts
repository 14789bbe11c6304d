import { describe, expect, it } from 'vitest';
import { canBatch, concatRows, rowsOf, sameOutputs, shapeOf, splitRows } from '@tidegate/shared/scheduling/rows.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { feedOf } from '../../support/fake-graph-runner.js';

const words = (...texts: string[]): NamedTensor =>
  tensor('w', 'BYTES', [texts.length, 1], encodeBytes(texts.map((text) => Buffer.from(text))));

describe('rows', () => {
  it('batches only where every input and output has a dynamic first dimension', () => {
    const dynamic = { name: 'x', datatype: 'FP32', shape: [-1, 3] } as const;
    expect(canBatch([dynamic], [dynamic])).toBe(true);
    expect(canBatch([dynamic], [{ ...dynamic, shape: [1, 3] }])).toBe(false);
    expect(canBatch([dynamic], [{ ...dynamic, shape: [] }])).toBe(false);
  });

  it('has no rows where inputs disagree', () => {
    expect(rowsOf(feedOf(1, 2))).toBe(2);
    expect(rowsOf([...feedOf(1, 2), ...feedOf(1)])).toBeUndefined();
    expect(rowsOf([])).toBeUndefined();
  });

  it('tells shapes, names, datatypes and wanted outputs apart, but not rows', () => {
    const key = (feeds: NamedTensor[], outputs: string[] = []): string => shapeOf(feeds, outputs, rowsOf(feeds)).key;
    expect(key(feedOf(1))).toBe(key(feedOf(1, 2)));
    expect(key(feedOf(1))).not.toBe(key(feedOf(1), ['y']));
    expect(key(feedOf(1))).not.toBe(key([{ ...(feedOf(1)[0] as NamedTensor), name: 'z' }]));
  });

  it('gives every request its own rows back, BYTES too', () => {
    const joined = concatRows([
      [...feedOf(1), words('a')],
      [...feedOf(2, 3), words('bcd', '')],
    ]);
    expect(joined.map((one) => one.shape)).toEqual([
      [3, 2],
      [3, 1],
    ]);
    const split = splitRows(joined, [1, 2]);
    expect(Buffer.from(split?.[0]?.[0]?.data ?? [])).toEqual(Buffer.from(feedOf(1)[0]?.data ?? []));
    expect(Buffer.from(split?.[1]?.[0]?.data ?? [])).toEqual(Buffer.from(feedOf(2, 3)[0]?.data ?? []));
    expect(Buffer.from(split?.[1]?.[1]?.data ?? [])).toEqual(Buffer.from(words('bcd', '').data));
  });

  it('refuses to split what does not follow the rows', () => {
    expect(splitRows(feedOf(1, 2, 3), [1, 1])).toBeUndefined();
  });

  it('compares floats within a tolerance and everything else exactly', () => {
    const y = (...values: number[]): NamedTensor[] => [
      tensor('y', 'FP32', [values.length], bytesOf(Float32Array.from(values))),
    ];
    expect(sameOutputs(y(1, 100), y(1.001, 100.5))).toBe(true);
    expect(sameOutputs(y(1), y(1.5))).toBe(false);
    expect(sameOutputs(y(Number.NaN), y(Number.NaN))).toBe(true);
    expect(sameOutputs(y(Number.NaN), y(1))).toBe(false);
    expect(sameOutputs([words('a')], [words('b')])).toBe(false);
  });
});

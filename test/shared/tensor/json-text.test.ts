import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { countBytes, encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import type { Datatype } from '@tidegate/shared/tensor/datatype.js';
import { elementsOf } from '@tidegate/shared/tensor/elements.js';
import { tensorDataFromJson } from '@tidegate/shared/tensor/json-data.js';
import { tensorDataToJson } from '@tidegate/shared/tensor/json-text.js';
import { bytesOf, type Tensor } from '@tidegate/shared/tensor/tensor.js';
import { TensorDataError } from '@tidegate/shared/tensor/tensor-data-error.js';

const of = (datatype: Datatype, view: ArrayBufferView, count: number): Tensor => ({
  datatype,
  shape: [count],
  data: bytesOf(view),
});

describe('JSON text of a tensor', () => {
  test.each<[Datatype, ArrayBufferView, number, string]>([
    ['BOOL', new Uint8Array([1, 0]), 2, '[true,false]'],
    ['INT8', new Int8Array([-128, 127]), 2, '[-128,127]'],
    ['UINT64', new BigUint64Array([2n ** 64n - 1n]), 1, '[18446744073709551615]'],
    ['INT64', new BigInt64Array([-(2n ** 63n), 9007199254740993n]), 2, '[-9223372036854775808,9007199254740993]'],
    ['FP32', new Float32Array([0.5, -0]), 2, '[0.5,-0.0]'],
    ['FP64', new Float64Array([1e300, 0.1]), 2, '[1e+300,0.1]'],
    ['FP32', new Float32Array(), 0, '[]'],
    ['BYTES', encodeBytes([new TextEncoder().encode('a"é')]), 1, '["a\\"é"]'],
  ])('%s', (datatype, view, count, text) => {
    expect(tensorDataToJson(of(datatype, view, count), 'outputs[0]')).toBe(text);
  });

  test('floats read back to the same bits', () => {
    fc.assert(
      fc.property(fc.array(fc.float({ noNaN: true, noDefaultInfinity: true })), (values) => {
        const tensor = of('FP32', new Float32Array(values), values.length);
        const back = tensorDataFromJson('FP32', [values.length], JSON.parse(tensorDataToJson(tensor, 'o')), 'i');
        expect(new Uint8Array(back)).toEqual(tensor.data);
      }),
    );
  });

  test('unaligned bytes are read as well as aligned ones', () => {
    const shifted = new Uint8Array(9);
    shifted.set(bytesOf(new Float64Array([Math.PI])), 1);
    expect(elementsOf('FP64', shifted.subarray(1))[0]).toBe(Math.PI);
    expect(tensorDataToJson({ datatype: 'FP64', shape: [1], data: shifted.subarray(1) }, 'o')).toBe(`[${Math.PI}]`);
  });

  test.each<[Datatype, ArrayBufferView, string]>([
    ['FP32', new Float32Array([1, Number.NaN]), 'outputs[0].data[1]: NaN has no JSON form'],
    ['FP64', new Float64Array([Number.NEGATIVE_INFINITY]), 'outputs[0].data[0]: -Infinity has no JSON form'],
    ['FP16', new Uint16Array([0]), 'outputs[0]: FP16 has no JSON form'],
    ['BF16', new Uint16Array([0]), 'outputs[0]: BF16 has no JSON form'],
    ['BYTES', encodeBytes([new Uint8Array([0xff])]), 'outputs[0].data[0]: not UTF-8'],
  ])('%s %j is refused', (datatype, view, message) => {
    const convert = (): string => tensorDataToJson(of(datatype, view, 1), 'outputs[0]');
    expect(convert).toThrow(TensorDataError);
    expect(convert).toThrow(message);
  });
});

test('BYTES elements are counted without being made', () => {
  expect(countBytes(encodeBytes([new Uint8Array(3), new Uint8Array()]))).toBe(2);
  expect(countBytes(new Uint8Array())).toBe(0);
  expect(countBytes(new Uint8Array([1, 0, 0, 0]))).toBeUndefined();
  expect(countBytes(new Uint8Array([1, 0]))).toBeUndefined();
});

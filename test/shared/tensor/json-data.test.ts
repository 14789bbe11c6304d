import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import type { Datatype } from '@tidegate/shared/tensor/datatype.js';
import { tensorDataFromJson } from '@tidegate/shared/tensor/json-data.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import type { TensorDataError } from '@tidegate/shared/tensor/tensor-data-error.js';

const read = (datatype: Datatype, shape: number[], data: unknown): Uint8Array =>
  new Uint8Array(tensorDataFromJson(datatype, shape, data, 'inputs[0].data'));

function refusal(datatype: Datatype, shape: number[], data: unknown): { code: string; message: string; field: string } {
  try {
    read(datatype, shape, data);
  } catch (error) {
    const { code, message, field } = error as TensorDataError;
    return { code, message, field };
  }
  throw new Error('was accepted');
}

describe('values that a datatype holds', () => {
  const cases: [Datatype, unknown[], ArrayBufferView][] = [
    ['BOOL', [true, false, true], new Uint8Array([1, 0, 1])],
    ['UINT8', [0, 255], new Uint8Array([0, 255])],
    ['INT8', [-128, 127], new Int8Array([-128, 127])],
    ['UINT16', [0, 65535], new Uint16Array([0, 65535])],
    ['INT16', [-32768, 32767], new Int16Array([-32768, 32767])],
    ['UINT32', [0, 4294967295], new Uint32Array([0, 4294967295])],
    ['INT32', [-2147483648, 2147483647], new Int32Array([-2147483648, 2147483647])],
    [
      'INT64',
      [-1, 9007199254740991, -9007199254740991],
      new BigInt64Array([-1n, 9007199254740991n, -9007199254740991n]),
    ],
    ['INT64', [-(2n ** 63n), 2n ** 63n - 1n], new BigInt64Array([-(2n ** 63n), 2n ** 63n - 1n])],
    ['UINT64', [0, 9007199254740991, 2n ** 64n - 1n], new BigUint64Array([0n, 9007199254740991n, 2n ** 64n - 1n])],
    ['FP32', [0.1, -0, 3.4028234663852886e38, 5], new Float32Array([0.1, -0, 3.4028234663852886e38, 5])],
    ['FP64', [0.1, -0, Number.MAX_VALUE, 5e-324], new Float64Array([0.1, -0, Number.MAX_VALUE, 5e-324])],
  ];
  test.each(cases)('%s %s', (datatype, data, expected) => {
    expect(read(datatype, [data.length], data)).toEqual(bytesOf(expected));
  });

  test('BYTES are UTF-8', () => {
    const expected = encodeBytes(['', 'é', '价格', '🌊'].map((text) => new TextEncoder().encode(text)));
    expect(read('BYTES', [4], ['', 'é', '价格', '🌊'])).toEqual(expected);
  });

  test('every safe integer is stored exactly', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        expect(read('INT64', [1], [value])).toEqual(bytesOf(new BigInt64Array([BigInt(value)])));
      }),
    );
  });
});

describe('shapes', () => {
  const six = bytesOf(new Float32Array([1, 2, 3, 4, 5, 6]));
  test('flat and nested data are the same', () => {
    expect(read('FP32', [2, 3], [1, 2, 3, 4, 5, 6])).toEqual(six);
    expect(
      read(
        'FP32',
        [2, 3],
        [
          [1, 2, 3],
          [4, 5, 6],
        ],
      ),
    ).toEqual(six);
    expect(read('FP32', [1, 6, 1], [[[1], [2], [3], [4], [5], [6]]])).toEqual(six);
  });

  test('a scalar, and no elements', () => {
    expect(read('INT8', [], [7])).toEqual(new Uint8Array([7]));
    expect(read('FP32', [0, 4], [])).toHaveLength(0);
    expect(read('FP32', [2, 0], [[], []])).toHaveLength(0);
  });

  test.each([
    [[2, 3], [1, 2, 3], 'inputs[0].data: 3 elements, the shape [2,3] takes 6'],
    [[2, 2], [[1, 2], [3]], 'inputs[0].data[1]: 1 elements, the shape takes 2 here'],
    [[2], [[1], [2]], 'inputs[0].data[0]: expected a number, got an array'],
    [[1, 2], [[1, [2]]], 'inputs[0].data[0][1]: expected a number, got an array'],
    [[1], 5, 'inputs[0].data: expected an array, got 5'],
    [[2 ** 31, 2 ** 31], [1], 'inputs[0].data: the shape [2147483648,2147483648] is too large'],
    [[1, 2 ** 40], [[1]], 'inputs[0].data[0]: 1 elements, the shape takes 1099511627776 here'],
  ])('shape %j of %j is refused', (shape, data, message) => {
    expect(refusal('FP32', shape, data).message).toBe(message);
  });

  test('nesting deeper than the shape is refused, not followed', () => {
    let data: unknown = 1;
    for (let i = 0; i < 100_000; i++) data = [data];
    expect(refusal('FP32', [1, 1], data).code).toBe('wrong-type');
  });
});

describe('values that a datatype does not hold', () => {
  test.each<[Datatype, unknown, string]>([
    ['UINT8', 256, 'inputs[0].data[1]: 256 is outside the range of UINT8 (0..255)'],
    ['UINT8', -1, 'inputs[0].data[1]: -1 is outside the range of UINT8 (0..255)'],
    ['INT8', 128, 'inputs[0].data[1]: 128 is outside the range of INT8 (-128..127)'],
    ['INT32', 2147483648, 'inputs[0].data[1]: 2147483648 is outside the range of INT32 (-2147483648..2147483647)'],
    ['INT32', 1.5, 'inputs[0].data[1]: expected an integer, got 1.5'],
    ['INT32', '1', 'inputs[0].data[1]: expected an integer, got "1"'],
    ['INT64', 1.5, 'inputs[0].data[1]: expected an integer, got 1.5'],
    ['INT64', 2n ** 63n, 'inputs[0].data[1]: 9223372036854775808 is outside the range of INT64'],
    ['UINT64', -1, 'inputs[0].data[1]: -1 is outside the range of UINT64'],
    ['UINT64', 2n ** 64n, 'inputs[0].data[1]: 18446744073709551616 is outside the range of UINT64'],
    ['FP32', 3.5e38, 'inputs[0].data[1]: 3.5e+38 is outside the range of FP32'],
    ['FP32', null, 'inputs[0].data[1]: expected a number, got null'],
    ['FP64', Number.POSITIVE_INFINITY, 'inputs[0].data[1]: Infinity is outside the range of FP64'],
    ['BOOL', 1, 'inputs[0].data[1]: expected true or false, got 1'],
    ['BYTES', 5, 'inputs[0].data[1]: expected a string, got 5'],
    ['BYTES', '\ud800', 'inputs[0].data[1]: a lone surrogate'],
  ])('%s of %s', (datatype, value, message) => {
    const good = { BOOL: true, BYTES: '' }[datatype as string] ?? 0;
    expect(refusal(datatype, [2], [good, value]).message).toContain(message);
  });

  test('FP16 and BF16 have no JSON form', () => {
    expect(refusal('FP16', [1], [1]).code).toBe('not-in-json');
    expect(refusal('BF16', [1], [1]).code).toBe('not-in-json');
  });

  test('an integer that the JSON parser has rounded is not taken for another', () => {
    expect(refusal('INT64', [1], [JSON.parse('9007199254740993')]).code).toBe('imprecise');
    expect(refusal('UINT64', [1], [2 ** 53]).code).toBe('imprecise');
  });
});

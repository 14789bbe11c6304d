import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutAxis, padAxis } from '@tidegate/shared/tensor/pad-axis.js';
import { bytesOf, type Tensor } from '@tidegate/shared/tensor/tensor.js';

const int16 = (shape: readonly number[], values: readonly number[]): Tensor => ({
  datatype: 'INT16',
  shape,
  data: bytesOf(Int16Array.from(values)),
});
const nine = bytesOf(Int16Array.of(9));

describe('padAxis and cutAxis', () => {
  it('fill up and cut along one dimension', () => {
    const given = int16([2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]);
    expect(padAxis(given, 1, 3, nine)).toEqual(int16([2, 3, 2], [1, 2, 3, 4, 9, 9, 5, 6, 7, 8, 9, 9]));
    expect(padAxis(given, 2, 3, nine)).toEqual(int16([2, 2, 3], [1, 2, 9, 3, 4, 9, 5, 6, 9, 7, 8, 9]));
    expect(padAxis(given, 0, 3, nine)).toEqual(int16([3, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9]));
    expect(cutAxis(given, 1, 1)).toEqual(int16([2, 1, 2], [1, 2, 5, 6]));
    expect(padAxis(given, 1, 2, nine)).toBe(given);
    expect(cutAxis(given, 1, 2)).toBe(given);
  });

  it('undo each other, whatever the shape', () => {
    const shapes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(shapes, fc.nat(3), fc.nat(5), (shape, at, more) => {
        const axis = at % shape.length;
        const count = shape.reduce((product, size) => product * size, 1);
        const given = int16(
          shape,
          Array.from({ length: count }, (_, i) => i),
        );
        const length = shape[axis]! + more;
        const padded = padAxis(given, axis, length, nine);
        expect(padded.data.byteLength).toBe((given.data.byteLength / shape[axis]!) * length);
        expect(cutAxis(padded, axis, shape[axis]!)).toEqual(given);
      }),
    );
  });
});

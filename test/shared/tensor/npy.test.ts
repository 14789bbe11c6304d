import { decodeNpy, encodeNpy } from '@tidegate/shared/tensor/npy.js';
import { bytesOf, sizeBytes, type Tensor } from '@tidegate/shared/tensor/tensor.js';
import { DATATYPES } from '@tidegate/shared/tensor/datatype.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const numeric = DATATYPES.filter((datatype) => datatype !== 'BYTES' && datatype !== 'BF16');
const tensors: fc.Arbitrary<Tensor> = fc
  .record({ datatype: fc.constantFrom(...numeric), shape: fc.array(fc.nat(4), { maxLength: 5 }), seed: fc.nat(255) })
  .map(({ datatype, shape, seed }) => {
    const data = Uint8Array.from({ length: sizeBytes(datatype, shape) ?? 0 }, (_, i) => (i * 7 + seed) % 256);
    return { datatype, shape, data };
  });

describe('.npy', () => {
  test('gives back what was written, for every datatype that numpy has', () => {
    fc.assert(
      fc.property(tensors, (value) => {
        const file = encodeNpy(value)!;
        const { datatype, shape, data } = decodeNpy(file);
        expect([datatype, shape]).toEqual([value.datatype, value.shape]);
        expect(Buffer.compare(data, value.data)).toBe(0);
        expect((file.byteLength - value.data.byteLength) % 64).toBe(0);
      }),
    );
  });

  test('is what numpy 2.4.6 saves: np.save(f, np.arange(3, dtype="<f4").reshape(1, 3))', () => {
    const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }`.padEnd(117, ' ');
    const saved = Buffer.concat([
      Buffer.from('934e554d5059010076 00'.replace(' ', ''), 'hex'),
      Buffer.from(`${header}\n`),
      bytesOf(Float32Array.of(0, 1, 2)),
    ]);
    const value: Tensor = { datatype: 'FP32', shape: [1, 3], data: bytesOf(Float32Array.of(0, 1, 2)) };
    expect(Buffer.compare(encodeNpy(value)!, saved)).toBe(0);
    expect(decodeNpy(saved)).toMatchObject({ datatype: 'FP32', shape: [1, 3] });
  });

  test('has no form for BYTES and BF16', () => {
    expect(encodeNpy({ datatype: 'BF16', shape: [1], data: new Uint8Array(2) })).toBeUndefined();
    expect(encodeNpy({ datatype: 'BYTES', shape: [1], data: new Uint8Array(4) })).toBeUndefined();
  });

  test('that is none, or not one that tensors have, says why', () => {
    const file = Buffer.from(encodeNpy({ datatype: 'FP32', shape: [2], data: new Uint8Array(8) })!);
    const changed = (from: string, to: string): Buffer =>
      Buffer.from(file.toString('latin1').replace(from, to), 'latin1');
    expect(() => decodeNpy(Buffer.from('no array'))).toThrow('is no .npy file');
    expect(() => decodeNpy(changed('NUMPY\x01', 'NUMPY\x02'))).toThrow('version 1.0');
    expect(() => decodeNpy(changed("'<f4'", "'>f4'"))).toThrow('elements of the type >f4');
    expect(() => decodeNpy(changed('False', 'True '))).toThrow('Fortran');
    expect(() => decodeNpy(changed('{', '['))).toThrow('header');
    expect(() => decodeNpy(file.subarray(0, file.byteLength - 1))).toThrow('has 7 bytes of elements');
  });
});

import { describe, expect, it } from 'vitest';
import { float16Bits } from '@tidegate/cloud-hub/optimizer/float16.js';

/** What a half's bits mean, by the definition. */
function valueOf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 0x3ff;
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15));
}

describe('float16Bits', () => {
  it('gives back every half exactly', () => {
    const all = Array.from({ length: 0x10000 }, (_, bits) => bits);
    const isNaNBits = (bits: number): boolean => Number.isNaN(valueOf(bits));
    expect(all.filter((bits) => !isNaNBits(bits) && float16Bits(valueOf(bits)) !== bits)).toEqual([]);
    expect(isNaNBits(float16Bits(NaN))).toBe(true);
  });

  it('rounds to the nearest, ties to even', () => {
    for (let bits = 0; bits < 0x7bff; bits += 77) {
      const [low, high] = [valueOf(bits), valueOf(bits + 1)];
      expect(float16Bits((low + high) / 2)).toBe(bits % 2 === 0 ? bits : bits + 1);
      expect(float16Bits(low + (high - low) * 0.49)).toBe(bits);
      expect(float16Bits(low + (high - low) * 0.51)).toBe(bits + 1);
    }
    expect(float16Bits(65519)).toBe(0x7bff);
    expect(float16Bits(65520)).toBe(0x7c00);
    expect(float16Bits(2 ** -25)).toBe(0);
    expect(float16Bits(-(2 ** -25) * 1.01)).toBe(0x8001);
  });
});

import { describe, expect, it } from 'vitest';
import { hasFourier, RealFourier } from '@tidegate/shared/steps/fourier.js';
import { xorshiftPixels } from '../../support/xorshift-pixels.js';

/** The definition, term by term. */
function slowPower(values: Float64Array): number[] {
  return Array.from({ length: values.length / 2 + 1 }, (_, k) => {
    let [re, im] = [0, 0];
    for (const [at, value] of values.entries()) {
      const angle = (2 * Math.PI * ((k * at) % values.length)) / values.length;
      re += value * Math.cos(angle);
      im -= value * Math.sin(angle);
    }
    return re * re + im * im;
  });
}

describe('RealFourier', () => {
  it.each([2, 4, 6, 8, 10, 14, 16, 42, 60, 98, 210, 256, 400, 480])('gives the powers of %i numbers', (length) => {
    const values = Float64Array.from(xorshiftPixels(length, length), (value) => value / 128 - 1);
    const out = new Float64Array(length / 2 + 1);
    const fourier = new RealFourier(length);
    fourier.power(values, out);
    for (const [k, expected] of slowPower(values).entries())
      expect(Math.abs(out[k]! - expected)).toBeLessThan(1e-9 * length);
    const again = new Float64Array(out.length);
    fourier.power(values, again); // nothing of the first run is left in the work space
    expect(again).toEqual(out);
  });

  it('is there for even products of 2, 3, 5 and 7', () => {
    expect([2, 400, 512, 1024, 16_384].every(hasFourier)).toBe(true);
    expect([0, 1, 15, 22, 401, 2 * 11 * 13].some(hasFourier)).toBe(false);
  });
});

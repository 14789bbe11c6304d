import { expect, it } from 'vitest';
import { UseRate } from '@tidegate/shared/residency/use-rate.js';

it('comes to the rate of steady use, and fades when nobody asks any more', () => {
  const rate = new UseRate();
  expect(rate.perSecond(0)).toBe(0);
  for (let ms = 0; ms <= 1_200_000; ms += 500) rate.note(ms);
  expect(rate.perSecond(1_200_000)).toBeCloseTo(2, 1);
  expect(rate.perSecond(1_200_000 + 120_000)).toBeCloseTo(2 / Math.E, 1);
  expect(rate.perSecond(1_200_000 + 3_600_000)).toBeLessThan(1e-9);
});

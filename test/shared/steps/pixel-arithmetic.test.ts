import { describe, expect, it } from 'vitest';
import { clamp, distance, roundHalfEven } from '@tidegate/shared/steps/pixel-arithmetic.js';

describe('pixel arithmetic', () => {
  it('rounds halves to the even neighbour, and everything else to the nearest', () => {
    const rounded = [-1.5, -0.5, 0.5, 1.5, 2.5, 2.4, 2.6, 7].map(roundHalfEven);
    expect(rounded.map((value) => value + 0)).toEqual([-2, 0, 0, 2, 2, 2, 3, 7]); // + 0: no matter of -0
  });

  it('keeps a value within 0 and the most', () => {
    expect([-1, 0, 3, 4].map((value) => clamp(value, 3))).toEqual([0, 0, 3, 3]);
  });

  it('measures between points', () => {
    expect(distance([1, 1], [4, 5])).toBe(5);
  });
});

import { describe, expect, it } from 'vitest';
import { percentile, timeRatioOf } from '@tidegate/cloud-hub/optimizer/measure-variant.js';
import { normal } from './linear-fixture.js';

describe('timeRatioOf', () => {
  it('is the median with its interval, which narrows with the number of pairs', () => {
    const ratios = (count: number): number[] => [...normal(count, 3)].map((value) => 0.8 * Math.exp(0.3 * value));
    const few = timeRatioOf(ratios(30), 0.8)!;
    const many = timeRatioOf(ratios(3000), 0.8)!;
    expect(many.median).toBeCloseTo(0.8, 1);
    expect(many.high - many.low).toBeLessThan((few.high - few.low) / 3);
    for (const { low, median, high } of [few, many]) {
      expect(low).toBeLessThanOrEqual(median);
      expect(median).toBeLessThanOrEqual(high);
    }
  });

  it('holds the true median about 19 times in 20', () => {
    let held = 0;
    for (let seed = 1; seed <= 400; seed += 1) {
      const ratios = [...normal(60, seed * 7919)].map((value) => Math.exp(value));
      const { low, high } = timeRatioOf(ratios, percentile(ratios, 0.5)!)!;
      if (low <= 1 && 1 <= high) held += 1;
    }
    expect(held).toBeGreaterThan(360);
  });

  it('is not moved by a few wild runs', () => {
    const steady = Array<number>(57).fill(1);
    expect(timeRatioOf([...steady, 50, 80, 100], 1)).toEqual({ low: 1, median: 1, high: 1 });
  });

  it('is no certainty where one process was held back throughout: the least disturbed runs say otherwise', () => {
    expect(timeRatioOf(Array<number>(60).fill(0.3), 0.98)).toEqual({ low: 0.3, median: 0.3, high: 0.98 });
  });

  it('says with few pairs how little it knows', () => {
    expect(timeRatioOf([], 1)).toBeUndefined();
    expect(timeRatioOf([0.5, 2], 1)).toEqual({ low: 0.5, median: 0.5, high: 2 });
  });
});

it('takes percentiles by nearest rank', () => {
  const values = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect(percentile(values, 0.5)).toBe(50);
  expect(percentile(values, 0.99)).toBe(99);
  expect(percentile([7], 0.99)).toBe(7);
  expect(percentile([], 0.5)).toBeUndefined();
});

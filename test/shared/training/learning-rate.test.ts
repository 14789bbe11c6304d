import { describe, expect, it } from 'vitest';
import { learningRateAt } from '@tidegate/shared/training/learning-rate.js';

const base = { learningRate: 0.1, warmupSteps: 0 };

describe('the learning rate', () => {
  it('stays where it is constant', () => {
    const schedule = { ...base, schedule: 'constant' } as const;
    expect([1, 50, 100].map((step) => learningRateAt(schedule, step, 100))).toEqual([0.1, 0.1, 0.1]);
  });

  it('begins full, is half in the middle, and is nearly nothing at the last update', () => {
    for (const kind of ['linear', 'cosine'] as const) {
      const schedule = { ...base, schedule: kind };
      expect(learningRateAt(schedule, 1, 100)).toBe(0.1);
      expect(learningRateAt(schedule, 51, 100)).toBeCloseTo(0.05);
      const last = learningRateAt(schedule, 100, 100);
      expect(last).toBeGreaterThan(0);
      expect(last).toBeLessThan(0.0011);
    }
  });

  it('warms up in equal steps, then falls from the full rate', () => {
    const schedule = { ...base, schedule: 'cosine', warmupSteps: 4 } as const;
    const first = [1, 2, 3, 4, 5].map((step) => learningRateAt(schedule, step, 104));
    [0.02, 0.04, 0.06, 0.08, 0.1].forEach((rate, i) => expect(first[i]).toBeCloseTo(rate));
    for (const kind of ['linear', 'cosine'] as const) {
      expect(learningRateAt({ ...schedule, schedule: kind }, 55, 104)).toBeCloseTo(0.05);
    }
    expect(learningRateAt(schedule, 104, 104)).toBeLessThan(0.0001);
  });

  it('warms up to where it then stays, if it is constant', () => {
    const schedule = { learningRate: 1, schedule: 'constant', warmupSteps: 4 } as const;
    expect([1, 2, 4, 5].map((step) => learningRateAt(schedule, step, 104))).toEqual([0.2, 0.4, 0.8, 1]);
  });

  it('is a number where the warm-up takes all updates, or more than there are', () => {
    const schedule = { ...base, schedule: 'linear', warmupSteps: 10 } as const;
    expect([1, 10].map((step) => learningRateAt(schedule, step, 10)).every((rate) => rate > 0 && rate < 0.1)).toBe(
      true,
    );
    expect(learningRateAt(schedule, 3, 3)).toBeCloseTo(0.3 / 11);
  });
});

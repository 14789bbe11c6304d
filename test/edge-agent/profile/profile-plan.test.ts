import { describe, expect, it } from 'vitest';
import {
  batchSizes,
  cellsOf,
  loadedTogether,
  quantile,
  threadCounts,
} from '@tidegate/edge-agent/profile/profile-plan.js';

describe('profile plan', () => {
  it('tries threads and batches by doubling, the last one exactly', () => {
    expect(threadCounts(1)).toEqual([1]);
    expect(threadCounts(6)).toEqual([1, 2, 4, 6]);
    expect(batchSizes(undefined, 8)).toEqual([1, 2, 4, 8]);
    expect(batchSizes(undefined, 1)).toEqual([1]);
    expect(batchSizes([8, 3, 8], 4)).toEqual([3, 8]);
  });

  it('runs each batch alone and as served, once where that is the same', () => {
    expect(cellsOf([1, 2], 4)).toEqual([
      { batch: 1, streams: 1 },
      { batch: 1, streams: 4 },
      { batch: 2, streams: 1 },
      { batch: 2, streams: 4 },
    ]);
    expect(cellsOf([1], 1)).toEqual([{ batch: 1, streams: 1 }]);
  });

  it('loads side by side what half of the free memory holds, and one at least', () => {
    expect(loadedTogether(100, 1000, 8)).toBe(5);
    expect(loadedTogether(100, 50, 8)).toBe(1);
    expect(loadedTogether(undefined, 50, 8)).toBe(8);
  });

  it('takes quantiles of what was measured', () => {
    const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
    expect([quantile(hundred, 0.5), quantile(hundred, 0.99), quantile([7], 0.99)]).toEqual([50, 99, 7]);
    expect(quantile([], 0.5)).toBeNaN();
  });
});

import { expect, it } from 'vitest';
import { summedCounts } from '@tidegate/shared/serving/summed-counts.js';

it('sums each count over the graphs, and is zero without any', () => {
  const none = summedCounts([]);
  expect(Object.values(none).every((count) => count === 0)).toBe(true);
  const one = { ...none, runs: 2, queueDepth: 3 };
  expect(summedCounts([one, { ...one, retried: 1 }])).toEqual({ ...none, runs: 4, queueDepth: 6, retried: 1 });
});

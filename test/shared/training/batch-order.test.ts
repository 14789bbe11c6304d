import { expect, it } from 'vitest';
import { batchesInTurn, batchesPerEpoch, batchOrder, shuffled } from '@tidegate/shared/training/batch-order.js';

const plan = { count: 23, batchSize: 5, seed: 9 };
const perEpoch = batchesPerEpoch(plan);

it('gives each sample once an epoch, in another order each epoch and for each seed', () => {
  const epochs = [0, 1, 2].map((epoch) => [...batchOrder(plan, epoch * perEpoch, (epoch + 1) * perEpoch)].flat());
  const all = Array.from({ length: 23 }, (_, i) => i);
  for (const epoch of epochs) expect([...epoch].sort((a, b) => a - b)).toEqual(all);
  const other = [...batchOrder({ ...plan, seed: 10 }, 0, perEpoch)].flat();
  expect(new Set([...epochs, other].map((order) => order.join())).size).toBe(4);
});

it('goes on from any batch as if it had begun at the first', () => {
  const whole = [...batchOrder(plan, 0, 17)];
  for (let first = 0; first <= 17; first += 1) expect([...batchOrder(plan, first, 17)]).toEqual(whole.slice(first));
});

it('ends an epoch with what is left, and begins the next one anew', () => {
  const sizes = [...batchOrder(plan, 0, 2 * perEpoch)].map(({ length }) => length);
  expect(sizes).toEqual([5, 5, 5, 5, 3, 5, 5, 5, 5, 3]);
});

it('goes through all of them as they stand, where nothing is shuffled', () => {
  expect([...batchesInTurn({ count: 5, batchSize: 2 })]).toEqual([[0, 1], [2, 3], [4]]);
  expect([...batchesInTurn({ count: 0, batchSize: 2 })]).toEqual([]);
});

it('shuffles evenly: over many seeds each sample is at each place about as often', () => {
  const [seeds, count] = [4000, 5];
  const seen = Array.from({ length: count }, () => Array.from({ length: count }, () => 0));
  for (let seed = 0; seed < seeds; seed += 1)
    shuffled(count, seed, 3).forEach((sample, at) => (seen[at]![sample]! += 1));
  for (const times of seen.flat()) expect(Math.abs(times - seeds / count)).toBeLessThan(5 * Math.sqrt(seeds / count));
});

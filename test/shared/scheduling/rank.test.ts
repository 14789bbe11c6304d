import fc from 'fast-check';
import { expect, it } from 'vitest';
import { rankOf } from '@tidegate/shared/scheduling/rank.js';

it('puts the earlier deadline first', () => {
  expect(rankOf(100, 0)).toBeLessThan(rankOf(200, 0));
});

it('puts the higher priority first among close deadlines, unstated between 1 and 3', () => {
  expect(rankOf(1000, 1)).toBeLessThan(rankOf(900, 0));
  expect(rankOf(1000, 0)).toBeLessThan(rankOf(900, 3));
});

it('starves nobody: whatever the priorities, only deadlines up to nine seconds later go first', () => {
  const priority = fc.integer({ min: 0, max: 1_000_000 });
  fc.assert(
    fc.property(fc.nat(1e6), fc.nat(1e6), priority, priority, (deadlineMs, laterMs, mine, theirs) => {
      const overtaken = rankOf(deadlineMs + laterMs, theirs) < rankOf(deadlineMs, mine);
      if (overtaken) expect(laterMs).toBeLessThan(9001);
    }),
  );
});

it('ages: a request that waits goes before any that comes nine seconds after it with as much time', () => {
  expect(rankOf(0 + 500, 1_000_000)).toBeLessThan(rankOf(9001 + 500, 1));
});

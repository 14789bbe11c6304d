import { expect, it } from 'vitest';
import { rankOf } from '@tidegate/shared/scheduling/rank.js';

it('puts the earlier deadline first', () => {
  expect(rankOf(100, 0)).toBeLessThan(rankOf(200, 0));
});

it('puts the higher priority first among close deadlines, unstated between 1 and 3', () => {
  expect(rankOf(1000, 1)).toBeLessThan(rankOf(900, 0));
  expect(rankOf(1000, 0)).toBeLessThan(rankOf(900, 3));
});

it('starves nobody: the lowest priority goes before a deadline far enough behind', () => {
  expect(rankOf(1000, 1_000_000)).toBeLessThan(rankOf(20_000, 1));
});

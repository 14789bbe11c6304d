import { expect, it } from 'vitest';
import { matchesPattern } from '@tidegate/cloud-hub/training/step-graph/name-pattern.js';

it('matches names by stars and question marks', () => {
  expect(['conv1', 'conv2.weight'].every((name) => matchesPattern('conv*', name))).toBe(true);
  expect(matchesPattern('layer?.weight', 'layer2.weight')).toBe(true);
  expect(matchesPattern('layer?.weight', 'layer12.weight')).toBe(false);
  expect(matchesPattern('*a*b*', 'xxaxxbxx')).toBe(true);
  expect(matchesPattern('a.c', 'abc')).toBe(false);
});

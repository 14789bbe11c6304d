import { judgeResult } from '@tidegate/cloud-hub/training/jobs/judge-result.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const accuracy = (parent: number, result: number, change: object = {}) => ({
  dataset: 'hard@1',
  role: 'held-out' as const,
  metric: 'accuracy' as const,
  count: 100,
  parent,
  result,
  ...change,
});
const error = (parent: number, result: number) => accuracy(parent, result, { metric: 'mean-squared-error' });

describe('accuracy', () => {
  test.each([
    ['better', 0.8, 0.9, true],
    ['the same', 0.8, 0.8, true],
    ['worse by what is allowed, to the last bit', 0.3, 0.29, true],
    ['worse by more', 0.8, 0.789, false],
    ['no number', 0.8, Number.NaN, false],
  ])('%s', (_what, parent, result, passed) => {
    expect(judgeResult([accuracy(parent, result)], 0.01).passed).toBe(passed);
  });

  test('a slice that fell fails it, whatever the whole gained, and the reason names it', () => {
    const slice = accuracy(0.951, 0.902, { dataset: 'night@3', role: 'slice' });
    expect(judgeResult([accuracy(0.7, 0.95), slice], 0.01)).toMatchObject({
      passed: false,
      reason: 'accuracy on slice night@3 fell from 0.951 to 0.902, by 0.049; at most 0.01 is allowed',
    });
  });

  test('the reason of one that passed says the figures', () => {
    expect(judgeResult([accuracy(0.71, 0.93)], 0.01).reason).toBe(
      'not worse than its parent: accuracy on what hard@1 holds out 0.71 -> 0.93',
    );
  });
});

describe('mean squared error', () => {
  test.each([
    ['smaller', 2, 1, true],
    ['larger by the share that is allowed', 2, 2.2, true],
    ['larger by more', 2, 2.21, false],
    ['of a parent without error', 0, 0.001, false],
  ])('%s', (_what, parent, result, passed) => {
    expect(judgeResult([error(parent, result)], 0.1).passed).toBe(passed);
  });

  test('the reason says the share', () => {
    expect(judgeResult([error(2, 3)], 0.1).reason).toBe(
      'mean squared error on what hard@1 holds out rose from 2 to 3, by 50%; at most 10% is allowed',
    );
  });
});

test('where nothing was measured nothing has passed', () => {
  expect(judgeResult([], 0.01).passed).toBe(false);
  expect(judgeResult([accuracy(0, 0, { count: 0 })], 0.01)).toMatchObject({
    passed: false,
    reason: 'nothing was measured: no sample was held out',
  });
});

test('a larger allowance never fails what a smaller one passed, and a better result never fails what a worse one passed', () => {
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(share, share, share, share, (parent, result, drop, more) => {
      const passed = judgeResult([accuracy(parent, result)], drop).passed;
      if (!passed) return;
      expect(judgeResult([accuracy(parent, result)], Math.max(drop, more)).passed).toBe(true);
      expect(judgeResult([accuracy(parent, Math.max(result, more))], drop).passed).toBe(true);
    }),
  );
});

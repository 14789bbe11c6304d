import { describe, expect, it } from 'vitest';
import { decideRestart, recentDeaths, RESTART_LIMITS } from '@tidegate/shared/runtime/restart-policy.js';

describe('restart policy', () => {
  it('replaces the first at once, and the second a little later', () => {
    expect(decideRestart([0], 0)).toEqual({ kind: 'restart', delayMs: 0 });
    expect(decideRestart([0, 5], 5)).toEqual({ kind: 'restart', delayMs: RESTART_LIMITS.delayMs });
  });

  it('calls three deaths within ten minutes a crash loop that nothing but a person or a version ends', () => {
    expect(decideRestart([0, 1, 599_999], 599_999)).toMatchObject({
      kind: 'quarantine',
      untilMs: Infinity,
      reason: 'its executors ended 3 times within 10 minutes',
    });
  });

  it('ends a quarantine by time where it is told so', () => {
    const limits = { ...RESTART_LIMITS, heldMs: 1000 };
    expect(decideRestart([0, 1, 2], 2, limits)).toMatchObject({ kind: 'quarantine', untilMs: 1002 });
  });

  it('forgets what lies before the window, and keeps a bounded number', () => {
    const { windowMs, deathsMax } = RESTART_LIMITS;
    expect(recentDeaths([0, 1], windowMs)).toEqual([1]);
    expect(recentDeaths(new Array(100).fill(5), 6)).toHaveLength(deathsMax);
  });
});

import { describe, expect, it } from 'vitest';
import { decideRestart, recentDeaths, RESTART_LIMITS, type Death } from '@tidegate/shared/runtime/restart-policy.js';

const deaths = (...marks: readonly (readonly [atMs: number, fruitful: boolean])[]): Death[] =>
  marks.map(([atMs, fruitful]) => ({ atMs, fruitful }));

describe('restart policy', () => {
  it('replaces the first at once', () => {
    expect(decideRestart(deaths([0, false]), 0)).toEqual({ kind: 'restart', delayMs: 0 });
  });

  it('waits longer each time within the window, up to a bound', () => {
    const delays = Array.from({ length: 12 }, (_, count) => {
      const decision = decideRestart(
        Array.from({ length: count + 1 }, () => ({ atMs: 0, fruitful: true })),
        0,
      );
      return decision.kind === 'restart' ? decision.delayMs : undefined;
    });
    expect(delays.slice(0, 5)).toEqual([0, 250, 500, 1_000, 2_000]);
    expect(delays.at(-1)).toBe(RESTART_LIMITS.delayMaxMs);
  });

  it('stays down after three in a row that answered nothing, until the first of them leaves the window', () => {
    const decision = decideRestart(deaths([100, false], [200, false], [300, false]), 300);
    expect(decision).toMatchObject({ kind: 'stay-down', untilMs: 100 + RESTART_LIMITS.windowMs });
  });

  it('calls it no crash loop while executors answer in between', () => {
    const marks = Array.from({ length: 9 }, (_, i) => [i, i % 3 === 2] as const);
    expect(decideRestart(deaths(...marks), 10).kind).toBe('restart');
    expect(decideRestart(deaths([0, false], [1, true], [2, false], [3, false]), 3).kind).toBe('restart');
  });

  it('forgets what lies before the window, and keeps a bounded number', () => {
    expect(recentDeaths(deaths([0, false], [1, false]), RESTART_LIMITS.windowMs)).toEqual(deaths([1, false]));
    expect(
      recentDeaths(
        Array.from({ length: 100 }, () => ({ atMs: 0, fruitful: true })),
        1,
      ).length,
    ).toBeLessThanOrEqual(16);
  });
});

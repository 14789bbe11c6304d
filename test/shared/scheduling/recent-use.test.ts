import { describe, expect, it } from 'vitest';
import { LIMIT_CALLERS } from '@tidegate/shared/scheduling/fair-shares.js';
import { RecentUse } from '@tidegate/shared/scheduling/recent-use.js';

const setUp = (waitingMs: Readonly<Record<string, number>> = {}) => new RecentUse((caller) => waitingMs[caller] ?? 0);

describe('RecentUse', () => {
  it('adds up and fades', () => {
    const use = setUp();
    use.add('a', 100, 0);
    use.add('a', 50, 0);
    expect(use.of('a', 0)).toEqual({ ms: 150, paceMs: 150 });
    expect(use.of('a', 10_000).ms).toBeCloseTo(150 / Math.E);
    expect(use.of('a', 1000).paceMs).toBeCloseTo(150 / Math.E);
    expect(use.of('b', 0)).toEqual({ ms: 0, paceMs: 0 });
  });

  it('tells light from heavy by a tenth', () => {
    const use = setUp();
    use.add('heavy', 1000, 0);
    expect(use.isLight(0)('new', 20)).toBe(true);
    expect(use.heavy(0)('heavy')).toBe(false); // alone so far
    use.add('light', 80, 0);
    expect(use.isLight(0)('light', 20)).toBe(true);
    expect(use.isLight(0)('light', 21)).toBe(false);
    expect([use.heavy(0)('heavy'), use.heavy(0)('light')]).toEqual([true, false]);
    expect(use.heavyBeside('light', 20, 0)('heavy')).toBe(true);
    expect(use.heavyBeside('light', 21, 0)('heavy')).toBe(false);
    expect(use.heavyBeside('heavy', 1, 0)('heavy')).toBe(false);
    expect(use.heavy(200_000)('heavy')).toBe(false); // the light one has gone
  });

  it('is light beside nobody for who is alone, however much waits', () => {
    const use = setUp({ a: 1e6 });
    use.add('a', 1e6, 0);
    expect(use.isLight(0)('a', 1)).toBe(false);
    expect([use.heavy(0)('a'), use.heavy(5000)('a')]).toEqual([false, false]);
  });

  /** Has what it asks for, so much each 100 ms. */
  const steady = (use: RecentUse, caller: string, ms: number, fromMs: number, untilMs: number): void => {
    for (let atMs = fromMs; atMs < untilMs; atMs += 100) use.add(caller, ms, atMs);
  };

  it('knows a caller for heavy by what it has waiting, before it had more than the others in ten seconds', () => {
    const waiting = { heavy: 0, light: 0 };
    const use = setUp(waiting);
    steady(use, 'light', 2.5, 0, 30_000);
    use.add('heavy', 100, 30_100);
    const seen = (): boolean[] => {
      const nowMs = 30_100;
      return [use.isLight(nowMs)('light', 5), use.heavyBeside('light', 5, nowMs)('heavy'), use.heavy(nowMs)('heavy')];
    };
    expect(use.of('light', 30_100).ms).toBeGreaterThan(200);
    expect(seen()).toEqual([false, false, false]);
    waiting.heavy = 200;
    expect(seen()).toEqual([true, true, true]);
    waiting.light = 20; // it asks for more than a tenth itself
    expect(seen()).toEqual([false, false, false]);
  });

  it('takes nobody for light who was busy until a moment ago', () => {
    const use = setUp({ b: 500 });
    steady(use, 'a', 90, 0, 10_000);
    steady(use, 'b', 90, 10_000, 13_000);
    expect(use.of('a', 13_000).paceMs).toBeLessThan(50);
    expect([use.isLight(13_000)('a', 1), use.heavy(13_000)('b')]).toEqual([false, false]);
  });

  it('says how much those have who are light beside a caller', () => {
    const use = setUp();
    for (const light of ['a', 'b']) steady(use, light, 2.5, 0, 50_000);
    steady(use, 'heavy', 90, 0, 50_000);
    expect(use.lightRate('heavy', 50_000)).toBeCloseTo(0.05, 2);
    expect([use.lightRate('a', 50_000), use.lightRate('new', 50_000)]).toEqual([0, 0]);
  });

  it('forgets who had least when there are too many', () => {
    const use = setUp();
    for (let i = 0; i < LIMIT_CALLERS; i += 1) use.add(`caller${i}`, 100 + i, 0);
    use.add('one more', 1, 0);
    expect(['caller0', 'caller1', 'one more'].map((caller) => use.of(caller, 0).ms)).toEqual([0, 101, 1]);
  });
});

import { describe, expect, it } from 'vitest';
import { LIMIT_CALLERS } from '@tidegate/shared/scheduling/fair-shares.js';
import { RecentUse } from '@tidegate/shared/scheduling/recent-use.js';

describe('RecentUse', () => {
  it('adds up and fades', () => {
    const use = new RecentUse();
    use.add('a', 100, 0);
    use.add('a', 50, 0);
    expect(use.of('a', 0)).toBe(150);
    expect(use.of('a', 10_000)).toBeCloseTo(150 / Math.E);
    expect(use.of('b', 0)).toBe(0);
  });

  it('tells light from heavy by a tenth', () => {
    const use = new RecentUse();
    use.add('heavy', 1000, 0);
    expect(use.isLight('new', 20, 0)).toBe(true);
    expect(use.heavy(0)('heavy')).toBe(false); // alone so far
    use.add('light', 80, 0);
    expect(use.isLight('light', 20, 0)).toBe(true);
    expect(use.isLight('light', 21, 0)).toBe(false);
    expect([use.heavy(0)('heavy'), use.heavy(0)('light')]).toEqual([true, false]);
    expect(use.heavy(200_000)('heavy')).toBe(false); // the light one has gone
  });

  it('is light beside nobody for who is alone', () => {
    const use = new RecentUse();
    use.add('a', 1e6, 0);
    expect(use.isLight('a', 1, 0)).toBe(false);
  });

  it('forgets who had least when there are too many', () => {
    const use = new RecentUse();
    for (let i = 0; i < LIMIT_CALLERS; i += 1) use.add(`caller${i}`, 100 + i, 0);
    use.add('one more', 1, 0);
    expect([use.of('caller0', 0), use.of('caller1', 0), use.of('one more', 0)]).toEqual([0, 101, 1]);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LIMIT_CALLERS } from '@tidegate/shared/scheduling/fair-shares.js';
import { RateLimit } from '@tidegate/shared/scheduling/rate-limit.js';

const taken = (limit: RateLimit, caller: string, times: number, nowMs: number): number =>
  Array.from({ length: times }, () => limit.take(caller, nowMs)).filter(({ allowed }) => allowed).length;

describe('RateLimit', () => {
  it('lets everything through where nothing is limited', () => {
    expect(taken(new RateLimit({}), 'a', 100, 0)).toBe(100);
  });

  it("lets a second's worth come at once, then at the rate, and says when to come again", () => {
    const limit = new RateLimit({ requestsPerSecond: 10 });
    expect(taken(limit, 'a', 20, 0)).toBe(10);
    expect(limit.take('b', 30)).toEqual({
      allowed: false,
      retryAfterMs: 70,
      reason: 'all callers together may ask 10 times a second',
    });
    expect(taken(limit, 'b', 20, 500)).toBe(5);
    expect(taken(limit, 'b', 20, 100_000)).toBe(10); // saves up no more than a second
  });

  it('looks without taking', () => {
    const limit = new RateLimit({ requestsPerSecond: 3, requestsPerSecondPerCaller: 2 });
    for (let i = 0; i < 9; i += 1) expect(limit.look('a', 0)).toEqual({ allowed: true });
    expect(taken(limit, 'a', 9, 0)).toBe(2);
    expect(limit.look('a', 0)).toEqual(limit.take('a', 0));
    expect(limit.look('b', 0).allowed).toBe(true);
    expect([limit.states, new RateLimit({}).states]).toEqual([true, false]);
  });

  it('knows rates under one', () => {
    const limit = new RateLimit({ requestsPerSecond: 0.1 });
    expect(limit.take('a', 0).allowed).toBe(true);
    expect(limit.take('a', 9000)).toMatchObject({ allowed: false, retryAfterMs: 1000 });
    expect(limit.take('a', 10_001).allowed).toBe(true);
  });

  it("holds each caller to its own rate, so that none takes what is everybody's", () => {
    const limit = new RateLimit({ requestsPerSecond: 10, requestsPerSecondPerCaller: 4 });
    expect(taken(limit, 'heavy', 100, 0)).toBe(4);
    expect(taken(limit, 'light', 3, 0)).toBe(3);
    expect(taken(limit, 'third', 9, 0)).toBe(3); // all together
  });

  it('forgets the fullest bucket when there are too many callers', () => {
    const limit = new RateLimit({ requestsPerSecondPerCaller: 2 });
    taken(limit, 'empty', 2, 0);
    for (let i = 0; i < LIMIT_CALLERS + 10; i += 1) limit.take(`caller${i}`, 1);
    expect(limit.take('empty', 1).allowed).toBe(false);
  });

  it("never lets more through than the rate and a second's worth", () => {
    const gaps = fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 200 });
    fc.assert(
      fc.property(gaps, fc.integer({ min: 1, max: 50 }), (gapsMs, perSecond) => {
        const limit = new RateLimit({ requestsPerSecond: perSecond });
        let nowMs = 0;
        let count = 0;
        for (const gapMs of gapsMs) {
          nowMs += gapMs;
          if (limit.take('', nowMs).allowed) count += 1;
          expect(count).toBeLessThanOrEqual(perSecond + (nowMs / 1000) * perSecond + 1e-6);
        }
      }),
      { numRuns: 100 },
    );
  });
});

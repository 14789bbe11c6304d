import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { linkOf, observeLink, UNMEASURED_LINK, wayMs } from '@tidegate/edge-agent/router/link-estimate.js';

/** Calls of these sizes over a link, a second apart. */
function after(sizes: readonly number[], roundTripMs: number, msPerByte: number, link = UNMEASURED_LINK) {
  return sizes.reduce((so, bytes, i) => observeLink(so, bytes, roundTripMs + msPerByte * bytes, i * 100), link);
}

describe('link estimate', () => {
  it('is a guess of nothing before the first call', () => {
    expect(linkOf(UNMEASURED_LINK)).toBeUndefined();
    expect(wayMs(UNMEASURED_LINK, 1000)).toEqual({ ms: 0, guess: true });
  });

  it('tells round trip and rate apart, from calls of two sizes', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.1, max: 500, noNaN: true }),
        fc.double({ min: 1e-6, max: 1e-2, noNaN: true }),
        fc.array(fc.constantFrom(1000, 50_000, 600_000), { minLength: 6, maxLength: 30 }),
        (roundTripMs, msPerByte, sizes) => {
          const link = after([1000, 600_000, ...sizes, 1000, 600_000], roundTripMs, msPerByte);
          const found = linkOf(link);
          expect(found?.roundTripMs).toBeCloseTo(roundTripMs, 3);
          expect(found?.msPerByte).toBeCloseTo(msPerByte, 6);
          expect(wayMs(link, 10_000)).toMatchObject({ guess: false });
        },
      ),
    );
  });

  it('says that another size is a guess while all calls were of one, on the hopeful side', () => {
    const large = after([600_000, 600_000], 20, 1e-3);
    expect(wayMs(large, 600_000)).toEqual({ ms: 620, guess: false });
    expect(wayMs(large, 1000)).toMatchObject({ guess: true });
    expect(wayMs(large, 1000).ms).toBeLessThan(20);
    const small = after([1000, 1000], 20, 1e-3);
    expect(wayMs(small, 1000)).toEqual({ ms: 21, guess: false });
    expect(wayMs(small, 600_000)).toEqual({ ms: 21, guess: true });
  });

  it('follows a link that changed within a few calls, and at once after a pause', () => {
    const fast = after([1000, 600_000, 1000, 600_000], 5, 1e-5);
    const slower = after([1000, 1000, 1000, 1000, 1000, 1000], 300, 1e-5, { ...fast, atMs: 0 });
    expect(wayMs(slower, 1000).ms).toBeGreaterThan(200);
    const paused = observeLink({ ...fast, atMs: 0 }, 1000, 300, 60_000);
    expect(wayMs(paused, 1000).ms).toBeGreaterThan(290);
  });

  it('never says that the way takes less than nothing', () => {
    const call = fc.tuple(fc.integer({ min: 0, max: 1e7 }), fc.double({ min: 0, max: 1e5, noNaN: true }));
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 20 }), fc.integer({ min: 0, max: 1e8 }), (calls, bytes) => {
        const link = calls.reduce((so, [size, ms], i) => observeLink(so, size, ms, i), UNMEASURED_LINK);
        expect(wayMs(link, bytes).ms).toBeGreaterThanOrEqual(-1e-6);
      }),
    );
  });
});

import { describe, expect, it } from 'vitest';
import { fullJitterMs } from '@tidegate/shared/system/backoff.js';
import { seededRandom } from '@tidegate/shared/system/random.js';

describe('full jitter', () => {
  const policy = { baseMs: 100, maxMs: 5000 };

  it('spreads the waits over the whole range, which doubles up to its maximum', () => {
    const random = seededRandom(7);
    for (const [attempt, ceilingMs] of [
      [0, 100],
      [1, 200],
      [3, 800],
      [6, 5000],
      [2000, 5000],
    ] as const) {
      const waits = Array.from({ length: 2000 }, () => fullJitterMs(attempt, policy, random));
      expect(Math.min(...waits)).toBeLessThan(ceilingMs * 0.05);
      expect(Math.max(...waits)).toBeGreaterThan(ceilingMs * 0.95);
      expect(Math.max(...waits)).toBeLessThan(ceilingMs);
      expect(waits.reduce((a, b) => a + b) / waits.length / ceilingMs).toBeCloseTo(0.5, 1);
    }
  });
});

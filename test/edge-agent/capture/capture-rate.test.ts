import { expect, it } from 'vitest';
import { takeTokens, type Bucket } from '@tidegate/edge-agent/capture/capture-rate.js';
import { seededRandom } from '@tidegate/shared/system/random.js';

it('grants one minute at once, then as many as the minute brings', () => {
  let bucket: Bucket | undefined;
  const take = (wanted: number, nowMs: number): number => {
    const taken = takeTokens(bucket, 30, wanted, nowMs);
    bucket = taken.bucket;
    return taken.granted;
  };
  expect(take(50, 1000)).toBe(30);
  expect(take(1, 1000)).toBe(0);
  expect(take(1, 2999)).toBe(0);
  expect(take(5, 3000)).toBe(1);
  expect(take(100, 63_000)).toBe(30);
  expect(take(100, 3_600_000)).toBe(30); // a quiet hour saves up no more than a minute
  expect(take(1, 0)).toBe(0); // a clock that goes back gives nothing
});

it('grants nothing where nothing is allowed, and never more than the rate over a long time', () => {
  expect(takeTokens(undefined, 0, 5, 0).granted).toBe(0);
  const random = seededRandom(3);
  let [bucket, granted, nowMs]: [Bucket | undefined, number, number] = [undefined, 0, 0];
  for (let i = 0; i < 20_000; i += 1) {
    nowMs += random.next() * 300;
    const taken = takeTokens(bucket, 7, 1 + Math.floor(random.next() * 4), nowMs);
    bucket = taken.bucket;
    granted += taken.granted;
  }
  expect(granted).toBeLessThanOrEqual(7 + (nowMs / 60_000) * 7);
  expect(granted).toBeGreaterThan((nowMs / 60_000) * 7 - 7);
});

import { describe, expect, it } from 'vitest';
import { LATENCY_BOUNDS_MS } from '@tidegate/shared/wire/telemetry.js';
import {
  confidenceIsLower,
  errorRate,
  errorRateIsHigher,
  latencyQuantileBoundsMs,
  latencyQuantileMs,
  meanConfidence,
  mergeStats,
  NO_STATS,
  type VersionStats,
} from '@tidegate/cloud-hub/rollouts/statistics.js';

const withLatencies = (counts: Record<number, number>): VersionStats => ({
  ...NO_STATS,
  latencyBuckets: NO_STATS.latencyBuckets.map((_, i) => counts[i] ?? 0),
});
const withConfidence = (n: number, mean: number, variance: number): VersionStats => ({
  ...NO_STATS,
  confidenceCount: n,
  confidenceSum: n * mean,
  confidenceSumOfSquares: (n - 1) * variance + n * mean * mean,
});

describe('statistics', () => {
  it('reads quantiles as the upper bound of their bucket', () => {
    const stats = withLatencies({ 4: 99, 30: 1 });
    expect(latencyQuantileMs(stats, 0.5)).toBe(LATENCY_BOUNDS_MS[4]);
    expect(latencyQuantileMs(stats, 0.99)).toBe(LATENCY_BOUNDS_MS[4]);
    expect(latencyQuantileMs(stats, 1)).toBe(LATENCY_BOUNDS_MS[30]);
    expect(latencyQuantileMs(NO_STATS, 0.5)).toBeUndefined();
    expect(latencyQuantileMs(withLatencies({ [LATENCY_BOUNDS_MS.length]: 1 }), 0.5)).toBe(Number.POSITIVE_INFINITY);
  });

  it('bounds a quantile by its rank, wide for few requests', () => {
    const few = withLatencies({ 4: 15, 10: 4, 30: 1 });
    expect(latencyQuantileBoundsMs(few, 0.9)).toEqual({ lower: LATENCY_BOUNDS_MS[4], upper: LATENCY_BOUNDS_MS[30] });
    const many = withLatencies({ 4: 15_000, 10: 4_000, 30: 1_000 });
    expect(latencyQuantileBoundsMs(many, 0.9)).toEqual({ lower: LATENCY_BOUNDS_MS[10], upper: LATENCY_BOUNDS_MS[10] });
  });

  it('merges windows exactly', () => {
    const a = { ...withLatencies({ 1: 2 }), requests: 2, errors: 1 };
    const b = { ...withLatencies({ 1: 1, 2: 5 }), requests: 6, errors: 0 };
    const sum = mergeStats(a, b);
    expect(sum).toMatchObject({ requests: 8, errors: 1 });
    expect(sum.latencyBuckets.slice(0, 4)).toEqual([0, 3, 5, 0]);
    expect(errorRate(sum)).toBeCloseTo(1 / 9);
  });

  it('calls an error rate higher only beyond chance', () => {
    const of = (errors: number, n: number): VersionStats => ({ ...NO_STATS, requests: n - errors, errors });
    expect(errorRateIsHigher(of(1, 20), of(0, 200))).toBe(false);
    expect(errorRateIsHigher(of(10, 20), of(0, 200))).toBe(true);
    expect(errorRateIsHigher(of(1, 1), NO_STATS)).toBe(false);
  });

  it('calls a confidence lower only beyond chance, and never without a variance', () => {
    expect(meanConfidence(NO_STATS)).toBeUndefined();
    expect(confidenceIsLower(withConfidence(100, 0.6, 0.01), withConfidence(100, 0.9, 0.01))).toBe(true);
    expect(confidenceIsLower(withConfidence(4, 0.8, 0.04), withConfidence(100, 0.9, 0.01))).toBe(false);
    expect(confidenceIsLower(withConfidence(1, 0.1, 0), withConfidence(100, 0.9, 0.01))).toBe(false);
  });
});

// The gate's statistics over merged evidence. Everything is a function of counts and sums, so that windows of many devices
// merge exactly. Tests are one-sided with Z = 3: the gate looks again and again, and a look that cries wolf halts a good
// rollout. (Design 9 asks for sequential tests; this is their place.)
import { LATENCY_BOUNDS_MS, type Evidence } from '@tidegate/shared/wire/telemetry.js';

export const Z = 3;

export interface VersionStats {
  readonly requests: number;
  readonly errors: number;
  /** Counts per bucket of LATENCY_BOUNDS_MS, and one more for what lies above. */
  readonly latencyBuckets: readonly number[];
  readonly confidenceCount: number;
  readonly confidenceSum: number;
  readonly confidenceSumOfSquares: number;
}

export const NO_STATS: VersionStats = {
  requests: 0,
  errors: 0,
  latencyBuckets: new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0),
  confidenceCount: 0,
  confidenceSum: 0,
  confidenceSumOfSquares: 0,
};

export function mergeStats(a: VersionStats, b: VersionStats | Evidence): VersionStats {
  return {
    requests: a.requests + b.requests,
    errors: a.errors + b.errors,
    latencyBuckets: a.latencyBuckets.map((count, i) => count + (b.latencyBuckets[i] ?? 0)),
    confidenceCount: a.confidenceCount + b.confidenceCount,
    confidenceSum: a.confidenceSum + b.confidenceSum,
    confidenceSumOfSquares: a.confidenceSumOfSquares + b.confidenceSumOfSquares,
  };
}

/** Errors over all that was tried; 0 without traffic. */
export function errorRate(stats: VersionStats): number {
  const tried = stats.requests + stats.errors;
  return tried === 0 ? 0 : stats.errors / tried;
}

export function meanConfidence(stats: VersionStats): number | undefined {
  return stats.confidenceCount === 0 ? undefined : stats.confidenceSum / stats.confidenceCount;
}

function varianceOfMean(stats: VersionStats): number {
  const n = stats.confidenceCount;
  if (n < 2) return Number.POSITIVE_INFINITY;
  const mean = stats.confidenceSum / n;
  return Math.max(0, (stats.confidenceSumOfSquares - n * mean * mean) / (n - 1)) / n;
}

/** Upper bound, in milliseconds, of the bucket that holds the rank-th smallest latency (rank from 1); undefined without one. */
function latencyAtRank(stats: VersionStats, rank: number): number | undefined {
  let seen = 0;
  for (const [i, count] of stats.latencyBuckets.entries()) {
    seen += count;
    if (count > 0 && seen >= rank) return LATENCY_BOUNDS_MS[i] ?? Number.POSITIVE_INFINITY;
  }
  return undefined;
}

const total = (stats: VersionStats): number => stats.latencyBuckets.reduce((sum, count) => sum + count, 0);

export function latencyQuantileMs(stats: VersionStats, quantile: number): number | undefined {
  const n = total(stats);
  return n === 0 ? undefined : latencyAtRank(stats, Math.max(1, Math.ceil(n * quantile)));
}

/** Distribution-free confidence bounds of a quantile from the binomial distribution of its rank. */
export function latencyQuantileBoundsMs(
  stats: VersionStats,
  quantile: number,
): { lower: number; upper: number } | undefined {
  const n = total(stats);
  if (n === 0) return undefined;
  const spread = Z * Math.sqrt(n * quantile * (1 - quantile));
  const lower = latencyAtRank(stats, Math.max(1, Math.floor(n * quantile - spread)));
  const upper = latencyAtRank(stats, Math.min(n, Math.ceil(n * quantile + spread)));
  return lower === undefined || upper === undefined ? undefined : { lower, upper };
}

/** Wilson's score interval of a share of `count` in `n`: right for rare errors and few requests, where the normal one isn't. */
function wilson(count: number, n: number, z: number): { lower: number; upper: number } {
  const share = count / n;
  const centre = share + (z * z) / (2 * n);
  const spread = z * Math.sqrt((share * (1 - share)) / n + (z * z) / (4 * n * n));
  const scale = 1 + (z * z) / n;
  return { lower: (centre - spread) / scale, upper: (centre + spread) / scale };
}

/** Is the canary's error rate higher than the control's by more than chance? Intervals of Z/sqrt(2) that don't touch are about Z apart. */
export function errorRateIsHigher(canary: VersionStats, control: VersionStats): boolean {
  const n1 = canary.requests + canary.errors;
  const n2 = control.requests + control.errors;
  if (n1 === 0 || n2 === 0) return false;
  const z = Z / Math.SQRT2;
  return wilson(canary.errors, n1, z).lower > wilson(control.errors, n2, z).upper;
}

/** Is the canary's mean confidence lower than the control's by more than chance (Welch)? */
export function confidenceIsLower(canary: VersionStats, control: VersionStats): boolean {
  const a = meanConfidence(canary);
  const b = meanConfidence(control);
  if (a === undefined || b === undefined) return false;
  const deviation = Math.sqrt(varianceOfMean(canary) + varianceOfMean(control));
  return b - a > Z * deviation;
}

// Exponential backoff with full jitter: the wait before retry n is uniform in [0, min(max, base * 2^n)). Full jitter, because
// a fleet that lost its hub at one moment must not come back at one moment (field lesson B11).
import type { Random } from './random.js';

export interface BackoffPolicy {
  readonly baseMs: number;
  readonly maxMs: number;
}

/** Milliseconds to wait before retry `attempt` (0 = the first retry). */
export function fullJitterMs(attempt: number, policy: BackoffPolicy, random: Random): number {
  const ceilingMs = Math.min(policy.maxMs, policy.baseMs * 2 ** Math.min(attempt, 30));
  return random.next() * ceilingMs;
}

// How long an answer that the device already has may wait for the hub's better one: pure. The bound follows the hub's
// measured times, so a hub that hangs is noticed after a few of its own usual times and never costs a caller's deadline.

export interface HubTimes {
  /** Smoothed time of answered calls; undefined before the first. */
  readonly meanMs: number | undefined;
  readonly deviationMs: number;
}

export const UNMEASURED_HUB: HubTimes = { meanMs: undefined, deviationMs: 0 };

/** Before the hub was ever measured. */
const UNMEASURED_WAIT_MS = 2000;
/** Nobody waits less: a hub in a good mood is not cut off by noise. */
const LEAST_WAIT_MS = 200;
const MEANS = 3;
const DEVIATIONS = 4;
/** Left of the deadline for handing the local answer out. */
const RESERVE_MS = 20;
const GAIN = 1 / 8;

export function observeHub(times: HubTimes, ms: number): HubTimes {
  if (times.meanMs === undefined) return { meanMs: ms, deviationMs: ms / 2 };
  const deviationMs = times.deviationMs + 2 * GAIN * (Math.abs(ms - times.meanMs) - times.deviationMs);
  return { meanMs: times.meanMs + GAIN * (ms - times.meanMs), deviationMs };
}

/** Milliseconds that a call may take while a local answer waits; 0 or less = don't ask. */
export function hubWaitMs(times: HubTimes, remainingMs: number): number {
  const usualMs =
    times.meanMs === undefined ? UNMEASURED_WAIT_MS : MEANS * times.meanMs + DEVIATIONS * times.deviationMs;
  return Math.min(remainingMs - RESERVE_MS, Math.max(LEAST_WAIT_MS, usualMs));
}

// Is the hub asked for an answer that other devices may have computed, and for how long? Pure. Only where that can pay: computing has been
// measured here, takes longer than a network's round trip, and there is time to compute after asking in vain. It never waits longer than
// computing takes.

/** What takes less is computed before any network answers. */
const LEAST_RUN_MS = 20;
/** Runs vary: so many times the usual one is left for computing after asking in vain. */
const RUNS_LEFT = 2;

interface SharedWaitView {
  /** What computing an answer of this model usually takes; undefined = not measured yet. */
  readonly runMs: number | undefined;
  /** Left of the request's deadline. */
  readonly remainingMs: number;
}

/** Milliseconds to wait for the hub; undefined = don't ask. */
export function sharedWaitMs({ runMs, remainingMs }: SharedWaitView): number | undefined {
  if (runMs === undefined || runMs < LEAST_RUN_MS) return undefined;
  const waitMs = Math.min(runMs, remainingMs - RUNS_LEFT * runMs);
  return waitMs < LEAST_RUN_MS ? undefined : waitMs;
}

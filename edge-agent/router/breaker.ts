// The circuit breaker in front of the hub: pure. Closed, every call may go. Open, none may but one probe per interval
// (half-open), so that a hub that hangs costs one waiting call per interval and no more. Failures in a row open it; a hung
// hub must not cost `failuresMax` deadlines, so a timeout counts as more than a refusal.

export interface BreakerState {
  readonly phase: 'closed' | 'open';
  /** Weighted failures since the last success. */
  readonly failures: number;
  /** Monotonic time from which a probe may go out; meaningful when open. */
  readonly probeAtMs: number;
  readonly openedTimes: number;
}

export interface BreakerOptions {
  /** Weighted failures in a row that open it. */
  readonly failuresMax: number;
  readonly probeIntervalMs: number;
}

export type CallOutcome = 'success' | 'failure' | 'timeout';

export const CLOSED_BREAKER: BreakerState = { phase: 'closed', failures: 0, probeAtMs: 0, openedTimes: 0 };

const TIMEOUT_WEIGHT = 2;

/** May a call go out now? A probe that goes out moves the next one an interval away: take the returned state. */
export function tryCall(
  state: BreakerState,
  options: BreakerOptions,
  nowMs: number,
): { readonly allowed: boolean; readonly probe: boolean; readonly state: BreakerState } {
  if (state.phase === 'closed') return { allowed: true, probe: false, state };
  if (nowMs < state.probeAtMs) return { allowed: false, probe: false, state };
  return { allowed: true, probe: true, state: { ...state, probeAtMs: nowMs + options.probeIntervalMs } };
}

/** The state after a call ended. A success closes it; calls that were under way when it opened don't open it again. */
export function afterCall(
  state: BreakerState,
  options: BreakerOptions,
  outcome: CallOutcome,
  nowMs: number,
): BreakerState {
  if (outcome === 'success') return { ...state, phase: 'closed', failures: 0 };
  if (state.phase === 'open') return state;
  const failures = state.failures + (outcome === 'timeout' ? TIMEOUT_WEIGHT : 1);
  if (failures < options.failuresMax) return { ...state, failures };
  return { phase: 'open', failures, probeAtMs: nowMs + options.probeIntervalMs, openedTimes: state.openedTimes + 1 };
}

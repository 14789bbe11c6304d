// Whether and when a dead executor is replaced. The first death is replaced at once, the next one a little later, so that what
// kills executors can't burn the machine. Three deaths within ten minutes are a crash loop, whatever was answered in between and
// whoever killed them (a crash, the system short of memory, the watch over hung ones): the model is quarantined. Pure.

export interface RestartLimits {
  readonly windowMs: number;
  /** So many deaths within the window are a crash loop. */
  readonly deathsMax: number;
  /** From the second death on. */
  readonly delayMs: number;
  /** How long a quarantine lasts by itself; Infinity = until somebody ends it. */
  readonly heldMs: number;
}

export const RESTART_LIMITS: RestartLimits = { windowMs: 600_000, deathsMax: 3, delayMs: 250, heldMs: Infinity };

type RestartDecision =
  | { readonly kind: 'restart'; readonly delayMs: number }
  | { readonly kind: 'quarantine'; readonly untilMs: number; readonly reason: string };

/** Deaths still in the window, oldest first, at most as many as matter. */
export function recentDeaths(deathsMs: readonly number[], nowMs: number, limits = RESTART_LIMITS): number[] {
  return deathsMs.filter((atMs) => nowMs - atMs < limits.windowMs).slice(-limits.deathsMax);
}

/** `deathsMs` within the window. */
export function decideRestart(deathsMs: readonly number[], nowMs: number, limits = RESTART_LIMITS): RestartDecision {
  if (deathsMs.length < limits.deathsMax) {
    return { kind: 'restart', delayMs: deathsMs.length <= 1 ? 0 : limits.delayMs };
  }
  const minutes = Math.round(limits.windowMs / 60_000);
  const reason = `its executors ended ${deathsMs.length} times within ${minutes} minutes`;
  return { kind: 'quarantine', untilMs: nowMs + limits.heldMs, reason };
}

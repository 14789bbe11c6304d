// Whether and when a dead executor is replaced. The first death is replaced at once; further ones within the window wait longer
// each time, so that a request that kills every executor can't burn the machine. Executors that die in a row without answering
// a single run are a crash loop: the graph then stays down, with the reason, until the window has moved on. Pure.

interface RestartLimits {
  readonly windowMs: number;
  /** Deaths in a row without one answered run, within the window. */
  readonly fruitlessMax: number;
  readonly firstDelayMs: number;
  readonly delayMaxMs: number;
}

export const RESTART_LIMITS: RestartLimits = {
  windowMs: 600_000,
  fruitlessMax: 3,
  firstDelayMs: 250,
  delayMaxMs: 30_000,
};

export interface Death {
  readonly atMs: number;
  /** Had it answered any run? */
  readonly fruitful: boolean;
}

type RestartDecision =
  | { readonly kind: 'restart'; readonly delayMs: number }
  | { readonly kind: 'stay-down'; readonly untilMs: number; readonly reason: string };

/** Deaths still in the window, oldest first, at most as many as matter. */
export function recentDeaths(deaths: readonly Death[], nowMs: number, limits: RestartLimits = RESTART_LIMITS): Death[] {
  return deaths.filter((death) => nowMs - death.atMs < limits.windowMs).slice(-DEATHS_KEPT_MAX);
}

const DEATHS_KEPT_MAX = 16;

/** `deaths` within the window, the newest last. */
export function decideRestart(
  deaths: readonly Death[],
  nowMs: number,
  limits: RestartLimits = RESTART_LIMITS,
): RestartDecision {
  const lastFruitful = deaths.findLastIndex((death) => death.fruitful);
  const fruitless = deaths.slice(lastFruitful + 1);
  const oldest = fruitless.at(-limits.fruitlessMax);
  if (oldest !== undefined) {
    const minutes = Math.round(limits.windowMs / 60_000);
    return {
      kind: 'stay-down',
      untilMs: Math.max(nowMs, oldest.atMs + limits.windowMs),
      reason: `${fruitless.length} executors ended within ${minutes} minutes without answering a run`,
    };
  }
  if (deaths.length <= 1) return { kind: 'restart', delayMs: 0 };
  return { kind: 'restart', delayMs: Math.min(limits.firstDelayMs * 2 ** (deaths.length - 2), limits.delayMaxMs) };
}

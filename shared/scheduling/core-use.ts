// Whose run begins next on the machine's cores, over all models: pure. Without a common limit each model would compute as if it were
// alone, all of them slow each other down, and no prediction holds. The rules:
//
//   A run begins while a core is free, the first in turn first (fair-shares.ts): no core is idle while anybody waits for it. One that
//   computes on more cores than are free begins all the same and shares them for a while: waiting for the others would idle those, and
//   letting shorter ones go first could go on for ever.
//   A short run doesn't wait for long ones: where a core will be free only after many times its own time, it begins at once, and the kernel
//   gives it its part. It ends within twice its time, and the others end later by no more than that time. So a small model beside a
//   large one is as quick as if the kernel alone shared the cores out.
//   Who waits for a run of its own graph, which has all it may have, lets others go first; who waits for a core doesn't.
//   A run that takes far longer than expected keeps nobody waiting: its executor may be stopped, hung or loading again, and until that
//   is found out its cores count as free (field lesson B20: other models are untouched).

/** So many times its expected time, and no less than so long, makes a run overdue. */
const OVERDUE_TIMES = 4;
const OVERDUE_MS_MIN = 30;
/** Of a run whose time nobody knows yet. */
const OVERDUE_UNKNOWN_MS = 1000;
/** So many times its own time is more than a run waits for a core. */
const SHARES_FROM = 4;
/**
 * While runs are so short, the way to the executor and back costs as much as they do: one more is sent ahead and waits there.
 * Longer ones are held back, where they can still be batched, overtaken and cancelled for nothing.
 */
export const SEND_AHEAD_BELOW_MS = 20;

interface OccupyingCores {
  /** When it began to compute; undefined while it waits inside its executor for a run of its graph to end. */
  readonly beganMs: number | undefined;
  /** 0 = unknown. */
  readonly expectedMs: number;
  /** Cores that it computes on. */
  readonly threads: number;
}

/** When it keeps nobody waiting any more; Infinity while it waits inside. Monotonic. */
export function overdueMs({ beganMs = Infinity, expectedMs }: OccupyingCores): number {
  return beganMs + (expectedMs === 0 ? OVERDUE_UNKNOWN_MS : Math.max(OVERDUE_MS_MIN, OVERDUE_TIMES * expectedMs));
}

/** Cores that compute; more than there are where runs share them. */
export function busyCores(runs: readonly OccupyingCores[], nowMs: number): number {
  let busy = 0;
  for (const run of runs) if (run.beganMs !== undefined && overdueMs(run) > nowMs) busy += run.threads;
  return busy;
}

/** When each of `count` cores is expected to be free, what waits inside executors counted in. */
export function coresFreeMs(count: number, runs: readonly OccupyingCores[], nowMs: number): number[] {
  const free = new Array<number>(count).fill(nowMs);
  if (runs.length === 0) return free;
  const holding = runs.filter((run) => overdueMs(run) > nowMs);
  const waitsInside = ({ beganMs }: OccupyingCores): number => (beganMs === undefined ? 1 : 0);
  for (const { beganMs, expectedMs, threads } of holding.sort((a, b) => waitsInside(a) - waitsInside(b))) {
    free.sort((a, b) => a - b);
    const untilMs = Math.max(nowMs, (beganMs ?? free[0] ?? nowMs) + expectedMs);
    for (let i = 0; i < Math.min(threads, count); i += 1) free[i] = Math.max(free[i] ?? nowMs, untilMs);
  }
  return free;
}

/** Doesn't a run that takes so long wait, where a core is expected to be free only then? */
export function sharesCores(costMs: number, waitMs: number): boolean {
  return costMs > 0 && waitMs >= SHARES_FROM * costMs;
}

interface CoresView {
  readonly count: number;
  /** Less than 0 where runs share cores. */
  readonly free: number;
  /** Until one is expected to be free. */
  readonly waitMs: number;
}

interface Contender {
  /** Expected time of its run; 0 = unknown. */
  readonly costMs: number;
  /** The graph that it is for: runs that compute or wait inside its executor, and how many may compute at once. */
  readonly lane: { readonly runs: { readonly size: number }; readonly slots: number };
}

/** From `turns`, the order in which they have their turns; undefined where all must wait. */
export function nextToBegin<T extends { readonly share: Contender }>(
  turns: readonly T[],
  { count, free, waitMs }: CoresView,
): T | undefined {
  for (const turn of turns) {
    const { costMs, lane } = turn.share;
    const left = lane.slots - lane.runs.size;
    if (left === 0 && costMs > 0 && costMs < SEND_AHEAD_BELOW_MS) return turn;
    if (left > 0) return free > 0 || (free > -count && sharesCores(costMs, waitMs)) ? turn : undefined;
    if (free <= 0) return undefined;
  }
  return undefined;
}

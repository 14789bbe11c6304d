// Which runs make way for a light caller's request: pure. Turns alone can't keep a light caller from waiting until a heavy one's run
// ends, and on few cores that is the time of a whole run more. So where a caller comes who had next to nothing lately, and all
// slots are held by callers that had many times as much, what was sent ahead is taken back, which costs nothing, and the run that
// has done least is ended and run again behind it.
//
// What it costs is bounded: who makes others repeat a run had less than a tenth of their time, and the time that they lose counts
// as its own, so all that is lost is less than a tenth; and a run makes way only while its requests have the time to run again.

/** Ending a run and beginning the next takes about so long: less is not gained. */
const LEAST_GAIN_MS = 2;
/** Nor is the run repeated for less than this part of the newcomer's own. */
const LEAST_GAIN_SHARE = 0.15;

export interface OccupyingRun {
  readonly accounts: readonly string[];
  /** Undefined while it waits inside the executor. */
  readonly beganMs: number | undefined;
  readonly expectedMs: number;
  /** The earliest of its requests. */
  readonly deadlineMs: number;
  /** False where one of its requests must not run again: its executor died under it, it is on trial, or carries state. */
  readonly mayRepeat: boolean;
  /** Can its engine end a run? */
  readonly cancellable: boolean;
}

interface MakeWayView<R extends OccupyingRun> {
  readonly nowMs: number;
  /** All whose place it could have, and those that wait inside executors for such a place. */
  readonly runs: readonly R[];
  /** Had this caller many times as much lately as the newcomer will have had (recent-use.ts)? */
  readonly isHeavy: (account: string) => boolean;
}

/** The runs to be ended, in this order; none where the newcomer must wait. */
export function makeWay<R extends OccupyingRun>(
  newcomer: { readonly costMs: number },
  view: MakeWayView<R>,
): readonly R[] {
  const { nowMs, runs, isHeavy } = view;
  const yields = ({ accounts, mayRepeat, deadlineMs, expectedMs }: R): boolean =>
    mayRepeat && accounts.every(isHeavy) && nowMs + newcomer.costMs + 2 * expectedMs <= deadlineMs;
  const ahead = runs.filter((run) => run.beganMs === undefined);
  if (!ahead.every(yields)) return [];
  const computing = runs.filter((run) => run.beganMs !== undefined);
  const leftMs = ({ beganMs = nowMs, expectedMs }: R): number => Math.max(0, beganMs + expectedMs - nowMs);
  const least = Math.max(LEAST_GAIN_MS, LEAST_GAIN_SHARE * newcomer.costMs);
  if (computing.some((run) => leftMs(run) < least)) return ahead;
  const [most] = computing.filter((run) => run.cancellable && yields(run)).sort((a, b) => leftMs(b) - leftMs(a));
  return most === undefined ? ahead : [...ahead, most];
}

// When is an executor hung (field lesson B20)? Two signs, either is enough:
// it doesn't answer a ping although its engine leaves it free to (stopped, spinning, swapped out); or a run takes far longer
// than runs of its size ever took. A first run, whose time nobody knows, is only held to a generous limit: it may compile for
// long (B19), and while pings are answered it is alive. The same goes for a graph that loops as its data will, as generation does.
// Pure: the shell in executor-process.ts supplies the times and kills.

export interface HangLimits {
  /** No run is called hung sooner than this. */
  readonly floorMs: number;
  /** Times the slowest measured run of its size. */
  readonly factor: number;
  /** For a run whose time isn't known. */
  readonly unmeasuredMs: number;
  /** For a run that may compile on a GPU, in an executor that answers pings meanwhile. */
  readonly compilingMs: number;
  /** A ping unanswered for so long means that the process doesn't run. */
  readonly silenceMs: number;
}

export const HANG_LIMITS: HangLimits = {
  floorMs: 2_000,
  factor: 8,
  unmeasuredMs: 120_000,
  compilingMs: 1_800_000,
  silenceMs: 2_000,
};

/** The slowest measured run of its size in milliseconds; undefined where its time isn't known. */
export type MeasuredMs = number | 'may compile' | undefined;

interface RunningRun {
  /** When it got its slot, in watch time. */
  readonly startedMs: number;
  readonly measuredMs: MeasuredMs;
}

export interface Pulse<R extends RunningRun> {
  /** Watch time. */
  readonly nowMs: number;
  /** When the oldest unanswered ping was sent, in watch time. */
  readonly pingSentMs: number | undefined;
  /** False where runs block the executor's event loop: then silence says nothing. */
  readonly answersWhileRunning: boolean;
  readonly running: readonly R[];
}

interface Hang<R> {
  readonly reason: string;
  /** The run that takes too long; undefined where the whole process is silent. */
  readonly run?: R;
}

/** Why the executor is hung; undefined while it isn't. */
export function hangOf<R extends RunningRun>(pulse: Pulse<R>, limits: HangLimits = HANG_LIMITS): Hang<R> | undefined {
  const { nowMs, pingSentMs } = pulse;
  if (pulse.answersWhileRunning && pingSentMs !== undefined && nowMs - pingSentMs > limits.silenceMs) {
    return { reason: `no sign of life for ${Math.round(nowMs - pingSentMs)} ms` };
  }
  for (const run of pulse.running) {
    const { startedMs, measuredMs } = run;
    const limitMs = runLimitMs(pulse.answersWhileRunning ? measuredMs : withoutCompiling(measuredMs), limits);
    const tookMs = nowMs - startedMs;
    if (tookMs <= limitMs) continue;
    const against =
      typeof measuredMs === 'number' ? `the slowest so far took ${measuredMs.toFixed(1)} ms` : 'never measured';
    return { run, reason: `a run has taken ${Math.round(tookMs)} ms (${against}, limit ${Math.round(limitMs)} ms)` };
  }
  return undefined;
}

/** An engine that is deaf while it runs can't be told from one that hangs: half an hour would be too long. */
function withoutCompiling(measuredMs: MeasuredMs): number | undefined {
  return measuredMs === 'may compile' ? undefined : measuredMs;
}

/** How long a run may take. */
export function runLimitMs(measuredMs: MeasuredMs, limits: HangLimits = HANG_LIMITS): number {
  if (measuredMs === 'may compile') return limits.compilingMs;
  return measuredMs === undefined ? limits.unmeasuredMs : Math.max(limits.floorMs, limits.factor * measuredMs);
}

/**
 * Time as the watcher lived it: it advances with the clock, but by no more than `capMs` between two looks. When the watcher's
 * own process was stopped, suspended or starved, that gap must not be held against the executor.
 */
export class WatchTime {
  readonly #capMs: number;
  #watchedMs = 0;
  #lastLookMs: number;

  constructor(nowMs: number, capMs: number) {
    this.#lastLookMs = nowMs;
    this.#capMs = capMs;
  }

  look(nowMs: number): number {
    this.#watchedMs += Math.min(nowMs - this.#lastLookMs, this.#capMs);
    this.#lastLookMs = nowMs;
    return this.#watchedMs;
  }
}

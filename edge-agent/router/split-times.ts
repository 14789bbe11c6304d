// What was measured of requests of one kind (a model's variant, and the shapes of its inputs): the whole and the parts before each cut here, the part
// behind it at the hub, and what crosses. Exponentially weighted. Of a cut that was never asked of the hub, the hub's part follows from how much faster
// than the device it was behind other cuts.
import type { PipelineCut } from '@tidegate/shared/serving/pipeline-cuts.js';
import { wayMs, type LinkEstimate } from './link-estimate.js';
import type { SplitOption } from './split-policy.js';

/** One run of a graph, in ms since its request began to be computed. */
export interface StageRun {
  readonly graph: string;
  readonly fromMs: number;
  readonly toMs: number;
}

interface CutTimes {
  hereMs: number | undefined;
  /** Measured at the hub. */
  thereMs: number | undefined;
  /** There and back. */
  bytes: number | undefined;
}

/** Weight of the newest. */
const GAIN = 1 / 4;
/** Of the way and of the hub's part, what was measured longer ago is a guess. */
const OLD_MS = 30_000;
/** Of the whole, here: while others answer it is measured again so often. */
const HERE_OLD_MS = 60_000;

export class SplitTimes {
  readonly #cuts: readonly PipelineCut[];
  readonly #times: ReadonlyMap<string, CutTimes>;
  #wholeMs: number | undefined;
  #wholeAtMs = -Infinity;
  /** The hub's time over the device's for the same part. */
  #hubRatio: number | undefined;
  #hubAtMs = -Infinity;

  constructor(cuts: readonly PipelineCut[]) {
    this.#cuts = cuts;
    this.#times = new Map(cuts.map(({ name }) => [name, { hereMs: undefined, thereMs: undefined, bytes: undefined }]));
  }

  /** All of it here; undefined = not measured. */
  get wholeMs(): number | undefined {
    return this.#wholeMs;
  }

  /** Was the whole measured here long ago? */
  isOld(nowMs: number): boolean {
    return nowMs - this.#wholeAtMs > HERE_OLD_MS;
  }

  /** The device computed all of it. Runs that were spared (kept stages) tell nothing: then `runs` lacks a graph, and nothing is learned. */
  ranHere(tookMs: number, runs: readonly StageRun[], nowMs: number): void {
    const ran = new Set(runs.map(({ graph }) => graph));
    if (
      this.#cuts.some((cut) =>
        [...cut.graphsBefore, cut.nextGraph].some((graph) => graph !== undefined && !ran.has(graph)),
      )
    )
      return;
    this.#wholeAtMs = nowMs;
    this.#wholeMs = smooth(this.#wholeMs, tookMs);
    for (const cut of this.#cuts) this.#before(cut.name, beforeMs(cut, runs));
  }

  /** The part before the cut ran here by itself. */
  ranBefore(cut: string, tookMs: number): void {
    this.#before(cut, tookMs);
  }

  /** The hub computed the part behind the cut. */
  ranThere(cut: string, tookMs: number, bytes: number, nowMs: number): void {
    const times = this.#times.get(cut);
    if (times === undefined) return;
    times.thereMs = smooth(times.thereMs, tookMs);
    times.bytes = smooth(times.bytes, bytes);
    this.#hubAtMs = nowMs;
    const restMs = (this.#wholeMs ?? 0) - (times.hereMs ?? 0);
    if (restMs > 0) this.#hubRatio = smooth(this.#hubRatio, tookMs / restMs);
  }

  options(link: LinkEstimate, nowMs: number): readonly SplitOption[] {
    const old = nowMs - Math.min(link.atMs, this.#hubAtMs) > OLD_MS;
    return this.#cuts.map(({ name, wantedHere }) => {
      const times = this.#times.get(name);
      const way = wayMs(link, times?.bytes ?? 0);
      const hereMs = wantedHere.length === 0 ? 0 : times?.hereMs;
      const restMs = Math.max(0, (this.#wholeMs ?? 0) - (hereMs ?? 0));
      const thereMs = times?.thereMs ?? (this.#hubRatio === undefined ? undefined : this.#hubRatio * restMs);
      const known = times?.bytes !== undefined && hereMs !== undefined && thereMs !== undefined;
      return {
        name,
        whole: wantedHere.length === 0,
        hereMs: hereMs ?? 0,
        wayMs: way.ms,
        thereMs: thereMs ?? 0,
        guess: !known || way.guess || old,
        old: known && old,
      };
    });
  }

  #before(name: string, tookMs: number): void {
    const times = this.#times.get(name);
    if (times !== undefined) times.hereMs = smooth(times.hereMs, tookMs);
  }
}

/** When the values of a cut were there: as a graph directly behind it began, else as the last one before it ended. */
function beforeMs({ graphsBefore, nextGraph }: PipelineCut, runs: readonly StageRun[]): number {
  const began = runs.filter(({ graph }) => graph === nextGraph).map(({ fromMs }) => fromMs);
  const ended = runs.filter(({ graph }) => graphsBefore.includes(graph)).map(({ toMs }) => toMs);
  return Math.max(0, began.length > 0 ? Math.min(...began) : Math.max(...ended, 0));
}

function smooth(before: number | undefined, now: number): number {
  return before === undefined ? now : before + GAIN * (now - before);
}

// Measured run times of one graph, by shape and rows (design 4: measured, not configured). Batching asks what a batch costs,
// admission asks by when a run will surely have ended. Means and deviations are exponentially weighted (as TCP estimates
// its round trips, RFC 6298), so they follow a device that gets warm or busy. Shapes are remembered up to a limit; an
// unknown shape is estimated by its size in bytes.
import { SlowStretches } from './slow-stretches.js';

const SHAPES_MAX = 64;
const GAIN = 1 / 8;
/** A deviation is forgotten slowly: one slow run in twenty shall still be reckoned with when it comes. */
const CALM_GAIN = 1 / 64;
/** The device's pace follows faster than the means: other work comes and goes at once, and slows every shape alike. */
const PACE_GAIN = 1 / 3;
/** The fastest run is forgotten this slowly: a device that gets hot and stays so. */
const FASTEST_GAIN = 1 / 64;
const SLOWEST_PACE = 4;
/** What is usual outlasts a slow stretch. */
const USUAL_GAIN = 1 / 64;
/** After so many runs it is known what is usual. */
const USUAL_AFTER_RUNS = 16;

interface Measure {
  meanMs: number;
  usualMs: number;
  deviationMs: number;
  /** Runs that ended by themselves; 0 = `meanMs` is what they take at least. */
  count: number;
  lastMs: number;
  /** The fastest of them: what the rows cost, with the least of what else the machine did meanwhile. */
  fastestMs: number;
}

export interface RunShape {
  /** Equal for feeds that may share a batch: names, datatypes and shapes without the rows. */
  readonly key: string;
  /** Bytes of one row's feeds. */
  readonly rowBytes: number;
  /** Where requests that differ in a length may share a run: equal for those, and the length. `key` holds about that length. */
  readonly ragged?: { readonly family: string; readonly length: number };
}

export interface Estimate {
  /** What a run is expected to take. */
  readonly meanMs: number;
  /** What it will hardly exceed: mean + 4 deviations, but no more than 3 means. */
  readonly boundMs: number;
}

export class RunTimes {
  readonly #shapes = new Map<string, { readonly rowBytes: number; readonly byRows: Map<number, Measure> }>();
  /** Milliseconds per row and byte over all shapes; the estimate for a shape never seen. */
  #perByteMs: number | undefined;
  #lastMs = -Infinity;
  /** Are lengths that differ a little measured as one? */
  #ragged = false;
  /** How long runs take now against their means: 1 = as usual. Never below 1, so that a fast moment promises nothing. */
  #pace = 1;
  readonly #stretches: SlowStretches;

  /** `runsAtOnce`: of the graph. */
  constructor(runsAtOnce = 1) {
    this.#stretches = new SlowStretches(runsAtOnce);
  }

  /** Notes that a run of `rows` took `ms`; `nowMs` is monotonic. */
  observe(shape: RunShape, rows: number, ms: number, nowMs: number): void {
    this.#lastMs = nowMs;
    this.#ragged ||= shape.ragged !== undefined;
    const perByte = ms / Math.max(1, rows * shape.rowBytes);
    this.#perByteMs = this.#perByteMs === undefined ? perByte : this.#perByteMs + GAIN * (perByte - this.#perByteMs);
    const byRows = this.#rowsOf(shape);
    const known = byRows.get(rows);
    if (known === undefined || known.count === 0) {
      byRows.set(rows, { meanMs: ms, usualMs: ms, deviationMs: ms / 4, count: 1, lastMs: nowMs, fastestMs: ms });
      return;
    }
    // The first run of a shape pays for allocation: the second replaces it when it was faster.
    if (known.count === 1 && ms < known.meanMs) {
      byRows.set(rows, { meanMs: ms, usualMs: ms, deviationMs: ms / 4, count: 2, lastMs: nowMs, fastestMs: ms });
      return;
    }
    this.#pace += PACE_GAIN * (Math.min(ms / known.meanMs, SLOWEST_PACE) - this.#pace);
    if (known.count >= USUAL_AFTER_RUNS) this.#stretches.observe(ms, known.usualMs, nowMs);
    known.usualMs += Math.max(USUAL_GAIN, 1 / (known.count + 1)) * (ms - known.usualMs);
    const off = Math.abs(ms - known.meanMs) - known.deviationMs;
    known.deviationMs += (off > 0 ? 2 * GAIN : Math.max(CALM_GAIN, 1 / known.count)) * off;
    known.meanMs += GAIN * (ms - known.meanMs);
    known.fastestMs = Math.min(ms, known.fastestMs + FASTEST_GAIN * (known.meanMs - known.fastestMs));
    known.count += 1;
    known.lastMs = nowMs;
  }

  /**
   * Notes that a run was ended after `ms`, which is all that is known of such runs until one ends by itself: else a device too slow
   * for what it is asked would admit all, end all at their deadlines, and never learn.
   */
  atLeast(shape: RunShape, rows: number, ms: number, nowMs: number): void {
    const byRows = this.#rowsOf(shape);
    const known = byRows.get(rows);
    if (known !== undefined && (known.count > 0 || known.meanMs >= ms)) return;
    this.#lastMs = nowMs;
    byRows.set(rows, { meanMs: ms, usualMs: ms, deviationMs: 0, count: 0, lastMs: nowMs, fastestMs: ms });
  }

  /** Undefined before the first run of the graph. Rows not measured lie between their measured neighbours. */
  estimate(shape: RunShape, rows: number): Estimate | undefined {
    const byRows = this.#shapes.get(shape.key)?.byRows;
    if (byRows === undefined || byRows.size === 0) {
      if (this.#perByteMs === undefined) return undefined;
      const meanMs = this.#perByteMs * rows * shape.rowBytes;
      return { meanMs, boundMs: 2 * meanMs };
    }
    const usual = interpolate(byRows, rows);
    const pace = Math.max(1, this.#pace);
    return usual && { meanMs: usual.meanMs * pace, boundMs: usual.boundMs * pace };
  }

  /** As SlowStretches says. */
  slipMs(untilMs: number, ownMs: number, nowMs: number): number {
    return this.#stretches.slipMs(untilMs, ownMs, nowMs);
  }

  /** Was exactly this number of rows measured within `maxAgeMs`? */
  isMeasured(shape: RunShape, rows: number, nowMs: number, maxAgeMs: number): boolean {
    const measure = this.#shapes.get(shape.key)?.byRows.get(rows);
    return measure !== undefined && nowMs - measure.lastMs <= maxAgeMs;
  }

  /**
   * What feeds of so many bytes take at least: the shortest of the shapes that they may have, or of all runs where the bytes are not
   * known, or fit none. Undefined before the first run.
   */
  least(bytes: number | undefined): Estimate | undefined {
    let least: Estimate | undefined;
    const ifLess = (estimate: Estimate | undefined): void => {
      if (estimate !== undefined && (least === undefined || estimate.meanMs < least.meanMs)) least = estimate;
    };
    const known = bytes === undefined || this.#ragged ? [] : this.#shapes; // a length in between has other bytes than its shape's
    for (const [key, { rowBytes }] of known) {
      const rows = (bytes ?? 0) / rowBytes;
      if (rows >= 1 && Number.isInteger(rows)) ifLess(this.estimate({ key, rowBytes }, rows));
    }
    if (least !== undefined) return least;
    for (const { byRows } of this.#shapes.values())
      for (const { meanMs } of byRows.values()) ifLess({ meanMs, boundMs: meanMs });
    return least;
  }

  /** The largest number of rows ever run in this shape; 0 before the first. */
  largestRows(shape: RunShape): number {
    return Math.max(0, ...(this.#shapes.get(shape.key)?.byRows.keys() ?? []));
  }

  /** Monotonic time of the newest measurement; -Infinity before the first. */
  get lastObservedMs(): number {
    return this.#lastMs;
  }

  #rowsOf({ key, rowBytes }: RunShape): Map<number, Measure> {
    const known = this.#shapes.get(key);
    if (known !== undefined) {
      this.#shapes.delete(key); // moves to the end: the map's order is the order of last use
      this.#shapes.set(key, known);
      return known.byRows;
    }
    if (this.#shapes.size >= SHAPES_MAX) {
      const oldest = this.#shapes.keys().next();
      if (!oldest.done) this.#shapes.delete(oldest.value);
    }
    const byRows = new Map<number, Measure>();
    this.#shapes.set(key, { rowBytes, byRows });
    return byRows;
  }
}

/**
 * Between two measured sizes on the line through them; below the smallest in proportion to it. Above the largest, each further row
 * costs what a row of its fastest run did: what delays one run doesn't grow with the rows, and a run that a busy machine
 * held up for 10 ms must not refuse 500 rows for the five seconds that they won't take.
 */
function interpolate(byRows: ReadonlyMap<number, Measure>, rows: number): Estimate | undefined {
  let below = 0;
  let above = Infinity;
  for (const measured of byRows.keys()) {
    if (measured <= rows) below = Math.max(below, measured);
    if (measured >= rows) above = Math.min(above, measured);
  }
  const low = byRows.get(below);
  const high = byRows.get(above);
  if (low === undefined) return high && estimateOf((high.meanMs * rows) / above, (high.deviationMs * rows) / above);
  if (high === undefined) {
    const { meanMs, deviationMs, fastestMs } = low;
    return estimateOf(meanMs + (fastestMs * (rows - below)) / below, deviationMs);
  }
  const share = above === below ? 0 : (rows - below) / (above - below);
  const mix = (a: number, b: number): number => a + share * (b - a);
  return estimateOf(mix(low.meanMs, high.meanMs), mix(low.deviationMs, high.deviationMs));
}

function estimateOf(meanMs: number, deviationMs: number): Estimate {
  return { meanMs, boundMs: Math.min(meanMs + 4 * deviationMs, 3 * meanMs) };
}

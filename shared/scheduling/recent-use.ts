// How much of the executors each caller had lately: pure. Sums that fade (exponentially, within some ten seconds), so that who was
// busy a minute ago is as good as new. A caller that had less than a tenth of what another had is light beside it: the scheduler
// lets it go first, and all that light callers are given beyond turns is bounded by that tenth. Callers are remembered up to a
// limit; whose sum is least is forgotten first, and counts as one who had nothing.
import { LIMIT_CALLERS } from './fair-shares.js';

const FADING_MS = 10_000;
/** Who had so many times as much lately is heavy beside a light caller. */
export const HEAVY_TIMES = 10;

/** What is left of a caller that has gone. */
const NOTHING_MS = 0.01;

interface Use {
  ms: number;
  atMs: number;
}

export class RecentUse {
  readonly #byCaller = new Map<string, Use>();

  /** Milliseconds of executor time, of which those of `FADING_MS` ago count 0.37. */
  of(caller: string, nowMs: number): number {
    const use = this.#byCaller.get(caller);
    return use === undefined ? 0 : faded(use, nowMs);
  }

  /** Did another caller have so much more, also when this one gets `costMs` now? */
  isLight(caller: string, costMs: number, nowMs: number): boolean {
    const heavyMs = HEAVY_TIMES * (this.of(caller, nowMs) + costMs);
    return this.#some((other, ms) => other !== caller && ms >= heavyMs, nowMs);
  }

  /** Who had so many times as much as another who had something: true of each such caller. */
  heavy(nowMs: number): (caller: string) => boolean {
    let leastMs = Infinity;
    for (const use of this.#byCaller.values()) {
      const ms = faded(use, nowMs);
      if (ms > NOTHING_MS && ms < leastMs) leastMs = ms;
    }
    return (caller) => this.of(caller, nowMs) >= HEAVY_TIMES * leastMs;
  }

  add(caller: string, ms: number, nowMs: number): void {
    if (!this.#byCaller.has(caller) && this.#byCaller.size >= LIMIT_CALLERS) this.#forgetLeast(nowMs);
    this.#byCaller.set(caller, { ms: this.of(caller, nowMs) + ms, atMs: nowMs });
  }

  #some(is: (caller: string, ms: number) => boolean, nowMs: number): boolean {
    for (const [caller, use] of this.#byCaller) if (is(caller, faded(use, nowMs))) return true;
    return false;
  }

  #forgetLeast(nowMs: number): void {
    let least: { readonly caller: string; readonly ms: number } | undefined;
    for (const [caller, use] of this.#byCaller) {
      const ms = faded(use, nowMs);
      if (least === undefined || ms < least.ms) least = { caller, ms };
    }
    if (least !== undefined) this.#byCaller.delete(least.caller);
  }
}

function faded({ ms, atMs }: Use, nowMs: number): number {
  return ms * Math.exp((atMs - nowMs) / FADING_MS);
}

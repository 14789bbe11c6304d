// How much of the executors each caller had lately, and asks for now: pure. A caller that had less than a tenth of what another had is
// light beside it: the scheduler lets it go first, and all that light callers are given beyond turns is bounded by that tenth. Told by
// either of two sums that fade (exponentially), so that who was busy a minute ago is as good as new:
//
//   What they had within some ten seconds.
//   What they had within a second, and what they have waiting: so a caller that begins to ask for a lot is known for heavy at once,
//   before it has had it. The other must be light for longer than that second: its rate over the ten seconds counts too. Else
//   callers that take turns in bursts would be light by turns.
//
// Callers are remembered up to a limit; whose sum is least is forgotten first, and counts as one who had nothing.
import { LIMIT_CALLERS } from './fair-shares.js';

const FADING_MS = 10_000;
const PACE_FADING_MS = 1000;
/** Who had so many times as much lately is heavy beside a light caller. */
export const HEAVY_TIMES = 10;

/** What is left of a caller that has gone. */
const GONE_MS = 0.01;

/** Milliseconds of executor time. */
interface Use {
  /** Of which those of `FADING_MS` ago count 0.37. */
  readonly ms: number;
  /** Those of `PACE_FADING_MS` ago. */
  readonly paceMs: number;
}

const NONE: Use = { ms: 0, paceMs: 0 };

export class RecentUse {
  readonly #byCaller = new Map<string, Use & { readonly atMs: number }>();
  readonly #waitingMs: (caller: string) => number;

  /** `waitingMs`: what a caller's waiting requests will take. */
  constructor(waitingMs: (caller: string) => number) {
    this.#waitingMs = waitingMs;
  }

  of(caller: string, nowMs: number): Use {
    const use = this.#byCaller.get(caller);
    if (use === undefined) return NONE;
    const passedMs = nowMs - use.atMs;
    return {
      ms: use.ms * Math.exp(-passedMs / FADING_MS),
      paceMs: use.paceMs * Math.exp(-passedMs / PACE_FADING_MS),
    };
  }

  /** Did another caller have so much more, also when this one gets `costMs` now? */
  isLight(nowMs: number): (caller: string, costMs: number) => boolean {
    const ms = new Largest();
    const paceMs = new Largest();
    for (const caller of this.#byCaller.keys()) {
      const demand = this.#demand(caller, nowMs);
      ms.add(caller, demand.ms);
      paceMs.add(caller, demand.paceMs);
    }
    return (caller, costMs) =>
      reaches({ ms: ms.besides(caller), paceMs: paceMs.besides(caller) }, this.#threshold(caller, costMs, nowMs));
  }

  /** The same beside one: the callers that had so much more. */
  heavyBeside(caller: string, costMs: number, nowMs: number): (other: string) => boolean {
    const threshold = this.#threshold(caller, costMs, nowMs);
    return (other) => other !== caller && reaches(this.#demand(other, nowMs), threshold);
  }

  /** Who had so many times as much as another who had something: true of each such caller. */
  heavy(nowMs: number): (caller: string) => boolean {
    let ms = Infinity;
    let paceMs = Infinity;
    for (const caller of this.#byCaller.keys()) {
      const threshold = this.#threshold(caller, 0, nowMs);
      if (threshold.ms <= HEAVY_TIMES * GONE_MS) continue;
      ms = Math.min(ms, threshold.ms);
      paceMs = Math.min(paceMs, threshold.paceMs);
    }
    return (caller) => reaches(this.#demand(caller, nowMs), { ms, paceMs });
  }

  /** Milliseconds a millisecond that those have who are light beside this one; 0 = it is heavy beside nobody. */
  lightRate(caller: string, nowMs: number): number {
    const demand = this.#demand(caller, nowMs);
    let ms = 0;
    for (const other of this.#byCaller.keys()) {
      const threshold = this.#threshold(other, 0, nowMs);
      if (threshold.ms > HEAVY_TIMES * GONE_MS && reaches(demand, threshold)) ms += threshold.ms / HEAVY_TIMES;
    }
    return ms / FADING_MS;
  }

  add(caller: string, ms: number, nowMs: number): void {
    if (!this.#byCaller.has(caller) && this.#byCaller.size >= LIMIT_CALLERS) this.#forgetLeast(nowMs);
    const use = this.of(caller, nowMs);
    this.#byCaller.set(caller, { ms: use.ms + ms, paceMs: use.paceMs + ms, atMs: nowMs });
  }

  /** What a caller must have had, or have and ask for now, to be heavy beside this one. More than this one's own. */
  #threshold(caller: string, costMs: number, nowMs: number): Use {
    const { ms, paceMs } = this.of(caller, nowMs);
    const askedMs = paceMs + Math.max(costMs, this.#waitingMs(caller)); // the cost is of one that waits
    const usualMs = (ms * PACE_FADING_MS) / FADING_MS;
    return { ms: HEAVY_TIMES * (ms + costMs), paceMs: HEAVY_TIMES * Math.max(askedMs, usualMs) };
  }

  #demand(caller: string, nowMs: number): Use {
    const { ms, paceMs } = this.of(caller, nowMs);
    return { ms, paceMs: paceMs + this.#waitingMs(caller) };
  }

  #forgetLeast(nowMs: number): void {
    let least: { readonly caller: string; readonly ms: number } | undefined;
    for (const caller of this.#byCaller.keys()) {
      const { ms } = this.of(caller, nowMs);
      if (least === undefined || ms < least.ms) least = { caller, ms };
    }
    if (least !== undefined) this.#byCaller.delete(least.caller);
  }
}

function reaches(demand: Use, threshold: Use): boolean {
  return demand.ms >= threshold.ms || demand.paceMs >= threshold.paceMs;
}

/** Whose is largest, and the largest of the others. */
class Largest {
  #caller: string | undefined;
  #value = 0;
  #next = 0;

  add(caller: string, value: number): void {
    if (value > this.#value) {
      this.#next = this.#value;
      [this.#caller, this.#value] = [caller, value];
    } else if (value > this.#next) this.#next = value;
  }

  besides(caller: string): number {
    return caller === this.#caller ? this.#next : this.#value;
  }
}

// By how much runs one after the other may take longer than expected all together: pure. Deviations of single runs add up as their
// squares, as if each were slow by its own chance. But other work on the device, heat or a throttled quota slow all runs of a stretch,
// and what then waits is late all at once. So stretches are remembered: the farthest that runs fell behind, and the slowest they were.
// Such a one may come again, and be half as long again; and whatever was seen, a small one may come at any time. A request leaves that
// much room before its deadline. Under load this costs no answers, since the queue is shorter and never empty.

/** A run falls behind by what it takes longer than so many times the usual; what it takes less is made up for. */
const BEHIND_FROM = 1.1;
/** A run that takes longer than so many times the usual is stopped or hung, and no slow stretch. */
const SLOWEST_TIMES = 4;
/** One slow run is no slow stretch. */
const SLOWNESS_GAIN = 1 / 3;
/** A stretch is remembered for about so long. */
const FADING_MS = 120_000;
/** The next may be so many times as long. */
const AGAIN_TIMES = 1.5;
/** What may come though it was never seen: so much of the wait for others' runs is lost, up to so much. */
const UNSEEN_SHARE = 0.25;
const UNSEEN_MS = 100;

export class SlowStretches {
  readonly #runsAtOnce: number;
  #behindMs = 0;
  #slowness = 1;
  readonly #farthestMs = new FadingPeak();
  readonly #slowestBy = new FadingPeak();

  constructor(runsAtOnce = 1) {
    this.#runsAtOnce = runsAtOnce;
  }

  /** A run took `ms`, and usually takes `usualMs`; `nowMs` is monotonic. */
  observe(ms: number, usualMs: number, nowMs: number): void {
    const tookMs = Math.min(ms, SLOWEST_TIMES * usualMs);
    this.#behindMs = Math.max(0, this.#behindMs + tookMs - BEHIND_FROM * usualMs);
    this.#slowness += SLOWNESS_GAIN * (tookMs / usualMs - this.#slowness);
    this.#farthestMs.add(this.#behindMs / this.#runsAtOnce, nowMs);
    this.#slowestBy.add(this.#slowness - 1, nowMs);
  }

  /** By how much a request may end later that is expected to end in `untilMs`, its own run of `ownMs` included. */
  slipMs(untilMs: number, ownMs: number, nowMs: number): number {
    const seenMs = Math.min(AGAIN_TIMES * this.#farthestMs.at(nowMs), this.#slowestBy.at(nowMs) * untilMs);
    return Math.max(seenMs, Math.min(UNSEEN_MS, UNSEEN_SHARE * (untilMs - ownMs)));
  }
}

/** The largest value of late: what it was fades. */
class FadingPeak {
  #value = 0;
  #atMs = 0;

  at(nowMs: number): number {
    return this.#value * Math.exp((this.#atMs - nowMs) / FADING_MS);
  }

  add(value: number, nowMs: number): void {
    if (value < this.at(nowMs)) return;
    this.#value = value;
    this.#atMs = nowMs;
  }
}

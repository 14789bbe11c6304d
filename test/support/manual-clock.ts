// A clock that moves only when a test says so; timers that come due are called in order.
import type { Clock } from '@tidegate/shared/system/clock.js';

interface Timer {
  readonly atMs: number;
  readonly callback: () => void;
}

export class ManualClock implements Clock {
  #nowMs: number;
  #monotonicMs = 0;
  /** In the order in which they come due. */
  readonly #timers: Timer[] = [];

  constructor(nowMs = Date.UTC(2026, 0, 1)) {
    this.#nowMs = nowMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#monotonicMs + delayMs, callback };
    const at = this.#timers.findLastIndex(({ atMs }) => atMs <= timer.atMs);
    this.#timers.splice(at + 1, 0, timer);
    return () => {
      const found = this.#timers.indexOf(timer);
      if (found >= 0) this.#timers.splice(found, 1);
    };
  }

  /** Monotonic time at which the next timer comes due. */
  get nextMs(): number | undefined {
    return this.#timers[0]?.atMs;
  }

  get timerCount(): number {
    return this.#timers.length;
  }

  advance(byMs: number): void {
    const untilMs = this.#monotonicMs + byMs;
    for (;;) {
      const [next] = this.#timers;
      if (next === undefined || next.atMs > untilMs) break;
      this.#timers.shift();
      this.#nowMs += next.atMs - this.#monotonicMs;
      this.#monotonicMs = next.atMs;
      next.callback();
    }
    this.#nowMs += untilMs - this.#monotonicMs;
    this.#monotonicMs = untilMs;
  }

  /** Sets wall time only, as NTP or a flat battery does. */
  setWall(nowMs: number): void {
    this.#nowMs = nowMs;
  }
}

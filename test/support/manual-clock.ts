// A clock that moves only when a test says so; timers that come due are called in order.
import type { Clock } from '@tidegate/shared/system/clock.js';

interface Timer {
  readonly atMs: number;
  readonly callback: () => void;
}

export class ManualClock implements Clock {
  #nowMs: number;
  #monotonicMs = 0;
  #timers: Timer[] = [];

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
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  get timerCount(): number {
    return this.#timers.length;
  }

  advance(byMs: number): void {
    const untilMs = this.#monotonicMs + byMs;
    for (;;) {
      const next = this.#timers.filter((timer) => timer.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
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

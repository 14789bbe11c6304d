// Waiting for something to change, at most until a time: who waits looks again then, whatever it was.
import { ServingError } from '../serving/serving-error.js';
import type { Clock } from '../system/clock.js';

export class Changes {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves at the next change, or at `untilMs` (monotonic; Infinity = never). Rejects with ServingError `cancelled`. */
  next(untilMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      let cancelTimer = (): void => undefined;
      const end = (settle: () => void) => (): void => {
        cancelTimer();
        signal.removeEventListener('abort', onAbort);
        this.#waiting.delete(onChange);
        settle();
      };
      const onChange = end(resolve);
      const onAbort = end(() => reject(new ServingError('cancelled', 'the caller went away')));
      if (signal.aborted) return onAbort();
      const restMs = Math.max(0, untilMs - this.#clock.monotonicMs());
      if (Number.isFinite(untilMs)) cancelTimer = this.#clock.after(restMs, onChange);
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.add(onChange);
      return undefined;
    });
  }

  happened(): void {
    for (const resolve of [...this.#waiting]) resolve();
  }
}

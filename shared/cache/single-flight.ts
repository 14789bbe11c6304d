// Equal questions asked at once are computed once. The flight belongs to nobody: whoever started it may go away or run out
// of time, and the others still get the answer; it is cancelled when nobody waits any more. Each waits by its own signal and
// deadline. A flight that failed because of its starter's deadline fails only those with no more time than that: the rest
// start another.
import { ServingError } from '../serving/serving-error.js';
import type { Clock } from '../system/clock.js';

interface Flight<T> {
  readonly promise: Promise<T>;
  readonly abort: AbortController;
  readonly deadlineMs: number;
  waiters: number;
}

const TIME_CODES: ReadonlySet<string> = new Set(['deadline-exceeded', 'would-miss-deadline', 'cancelled']);

export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>();
  readonly #clock: Clock;
  #joined = 0;

  constructor(modules: { readonly clock: Clock }) {
    this.#clock = modules.clock;
  }

  /** Requests that were answered by another's flight, since the start. */
  get joined(): number {
    return this.#joined;
  }

  /**
   * The answer of the flight under `key`, started with `compute` where none is under way. `shared` says that another had
   * started it. Rejects with the flight's error, or by this caller's own deadline (monotonic) or signal.
   */
  async fly(
    key: string,
    deadlineMs: number,
    signal: AbortSignal,
    compute: (signal: AbortSignal) => Promise<T>,
  ): Promise<{ readonly value: T; readonly shared: boolean }> {
    for (;;) {
      const flying = this.#flights.get(key);
      const flight = flying ?? this.#start(key, deadlineMs, compute);
      const shared = flying !== undefined;
      if (shared) this.#joined += 1;
      try {
        return { value: await this.#wait(flight, deadlineMs, signal), shared };
      } catch (error) {
        const another =
          shared &&
          !signal.aborted &&
          error instanceof ServingError &&
          TIME_CODES.has(error.code) &&
          deadlineMs > flight.deadlineMs &&
          this.#clock.monotonicMs() < deadlineMs;
        if (!another) throw error;
      }
    }
  }

  #start(key: string, deadlineMs: number, compute: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const abort = new AbortController();
    const promise = compute(abort.signal);
    const flight: Flight<T> = { promise, abort, deadlineMs, waiters: 0 };
    this.#flights.set(key, flight);
    const land = (): void => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    promise.then(land, land);
    return flight;
  }

  #wait(flight: Flight<T>, deadlineMs: number, signal: AbortSignal): Promise<T> {
    flight.waiters += 1;
    return new Promise<T>((resolve, reject) => {
      const leave = (): void => {
        cancelTimer();
        signal.removeEventListener('abort', onAbort);
        flight.waiters -= 1;
      };
      const give = (error: ServingError): void => {
        leave();
        if (flight.waiters === 0) {
          for (const [key, value] of this.#flights) if (value === flight) this.#flights.delete(key);
          flight.abort.abort(error);
        }
        reject(error);
      };
      const onAbort = (): void => give(new ServingError('cancelled', 'the caller went away'));
      // The flight's own deadline gives the clearer error where it is this caller's too, so this timer is a little later.
      const cancelTimer = this.#clock.after(Math.max(0, deadlineMs - this.#clock.monotonicMs()) + 1, () =>
        give(new ServingError('deadline-exceeded', 'the deadline passed before the answer was there')),
      );
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) {
        onAbort();
        return;
      }
      flight.promise.then(
        (value) => {
          leave();
          resolve(value);
        },
        (error: unknown) => {
          leave();
          reject(error);
        },
      );
    });
  }
}

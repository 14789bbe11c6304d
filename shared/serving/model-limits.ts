// What may begin of one model: the rates of its package's `limits`, and how many requests are under way at once. Both are bounds by
// caller (rate-limit.ts, in-flight.ts); here they are refusals. To look takes nothing, and says what `enter` would say now.
import { RateLimit } from '../scheduling/rate-limit.js';
import type { Clock } from '../system/clock.js';
import { InFlight } from './in-flight.js';
import { ServingError } from './serving-error.js';

interface ModelLimitsOptions {
  readonly model: string;
  readonly rates: ConstructorParameters<typeof RateLimit>[0];
  /** Requests under way, steps included. */
  readonly inFlightMax: number;
}

const FULL_RETRY_MS = 1000;

export class ModelLimits {
  readonly #model: string;
  readonly #clock: Clock;
  readonly #rate: RateLimit;
  readonly #inFlight: InFlight;

  constructor({ model, rates, inFlightMax }: ModelLimitsOptions, clock: Clock) {
    this.#model = model;
    this.#clock = clock;
    this.#rate = new RateLimit(rates);
    this.#inFlight = new InFlight(inFlightMax);
  }

  /** Does the package state a rate? */
  get rated(): boolean {
    return this.#rate.states;
  }

  /** Requests under way. */
  get count(): number {
    return this.#inFlight.count;
  }

  /** `counts`: for the rates. Throws ServingError `rate-limited`, `queue-full`; else `leave` must follow. */
  enter(caller: string, counts: boolean): void {
    if (counts) {
      const decision = this.#rate.take(caller, this.#clock.monotonicMs());
      if (!decision.allowed) throw this.#overRate(decision);
    }
    if (!this.#inFlight.enter(caller)) throw this.#full();
  }

  leave(caller: string): void {
    this.#inFlight.leave(caller);
  }

  /** What `enter` of a request that counts would throw now. */
  look(caller: string): ServingError | undefined {
    const decision = this.#rate.look(caller, this.#clock.monotonicMs());
    if (!decision.allowed) return this.#overRate(decision);
    return this.#inFlight.hasRoom(caller) ? undefined : this.#full();
  }

  #overRate({ reason, retryAfterMs }: { readonly reason: string; readonly retryAfterMs: number }): ServingError {
    return new ServingError('rate-limited', `refused: of model '${this.#model}' ${reason}`, { retryAfterMs });
  }

  #full(): ServingError {
    return new ServingError('queue-full', `refused: ${this.count} requests are under way`, {
      retryAfterMs: FULL_RETRY_MS,
    });
  }
}

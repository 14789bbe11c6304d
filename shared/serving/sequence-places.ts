// Where sequences began: on the hub the version, on a device that it was the hub. A request that goes on is answered where the one
// before it was, whatever has become ready meanwhile. Only a pointer: the state, and whether it is still there, is known at the
// place. Beyond the limit the oldest are forgotten, and go where a new request would.
import type { SequenceAsked } from './inference-service.js';

const LIMIT_SEQUENCES = 10_000;

export class SequencePlaces<T> {
  readonly #places = new Map<string, T>();

  /** Undefined for a start, and for what never began. */
  get(model: string, asked: SequenceAsked | undefined): T | undefined {
    return asked === undefined || asked.start ? undefined : this.#places.get(keyOf(model, asked));
  }

  /** Call it before the answer is there: the next request may come earlier. */
  goes(model: string, asked: SequenceAsked | undefined, place: T): void {
    if (asked === undefined) return;
    const key = keyOf(model, asked);
    this.#places.delete(key); // the latest stands last
    if (!asked.end) this.#places.set(key, place);
    for (const oldest of this.#places.keys()) {
      if (this.#places.size <= LIMIT_SEQUENCES) break;
      this.#places.delete(oldest);
    }
  }

  forget(model: string, asked: SequenceAsked): void {
    this.#places.delete(keyOf(model, asked));
  }
}

/** Names of models and scopes have no spaces. */
function keyOf(model: string, { id, scope = '' }: SequenceAsked): string {
  return `${model} ${scope} ${id}`;
}

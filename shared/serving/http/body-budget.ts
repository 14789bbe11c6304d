// Counts the bytes of all request bodies that are held, against one bound: a bound per body alone leaves memory at the
// mercy of the number of connections.
import { ServingError } from '../serving-error.js';

export class BodyBudget {
  readonly #bytesMax: number;
  #used = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get usedBytes(): number {
    return this.#used;
  }

  /** A share that grows with one request's body and goes back as a whole. */
  open(): BodyShare {
    let held = 0;
    return {
      grow: (bytes) => {
        if (this.#used + bytes > this.#bytesMax) {
          const text = `the bodies in flight already hold ${this.#used} of ${this.#bytesMax} bytes`;
          throw new ServingError('queue-full', text, { retryAfterMs: 1000 });
        }
        this.#used += bytes;
        held += bytes;
      },
      release: () => {
        this.#used -= held;
        held = 0;
      },
    };
  }
}

export interface BodyShare {
  /** Throws ServingError `queue-full` where all bodies together would pass the bound. */
  grow(bytes: number): void;
  release(): void;
}

// Counts the bytes of all request bodies that are held, against one bound: a bound per body alone leaves memory at the
// mercy of the number of connections. What is counted has come: whoever only announces a large body holds nothing, and
// small bodies have room on top, so that no upload, however slow, keeps them out.
import { ServingError } from '../serving-error.js';

/** Of the bound, the room on top for small bodies. */
const ROOM_FOR_SMALL = 1 / 16;
/** Of the bound, what a body takes at most that is small. */
const SMALL = 1 / 64;

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
    let announced = 0;
    const hasRoomFor = (bytes: number): void => {
      const small = Math.max(held + bytes, announced) <= this.#bytesMax * SMALL;
      if (this.#used + bytes <= this.#bytesMax * (small ? 1 + ROOM_FOR_SMALL : 1)) return;
      const text = `the bodies in flight already hold ${this.#used} of ${this.#bytesMax} bytes`;
      throw new ServingError('queue-full', text, { retryAfterMs: 1000 });
    };
    return {
      expect: (bytes) => {
        announced = bytes;
        hasRoomFor(bytes);
      },
      grow: (bytes) => {
        hasRoomFor(bytes);
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
  /** A body of so many bytes is announced. Throws as `grow` would by now, and counts nothing: it may never come. */
  expect(bytes: number): void;
  /** Throws ServingError `queue-full` where all bodies together would pass the bound. */
  grow(bytes: number): void;
  release(): void;
}

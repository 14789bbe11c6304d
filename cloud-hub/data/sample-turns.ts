// One sample's body and row change together, one change at a time: a sample that comes again while it is being deleted would else be
// left with a row and no body. Different samples don't wait for each other. The hub is one process, so memory is enough.

export class SampleTurns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Runs `work` when all earlier work on this id has settled; settles as it does. */
  async run<T>(id: string, work: () => Promise<T>): Promise<T> {
    const mine = (this.#last.get(id) ?? Promise.resolve()).then(work);
    const settled = mine.catch(() => undefined); // the caller sees the error; the next one has its own turn
    this.#last.set(id, settled);
    try {
      return await mine;
    } finally {
      if (this.#last.get(id) === settled) this.#last.delete(id);
    }
  }
}

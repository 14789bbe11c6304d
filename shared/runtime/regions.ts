// Which parts of a stretch of memory are taken: first fit, so that few pages are touched and those again and again, and freed
// neighbours grow together. Pure bookkeeping; whose bytes lie there is for others to know (tensor-arena.ts).

export interface Region {
  readonly at: number;
  readonly sizeBytes: number;
}

/** Regions begin and end at pages: what the system takes and gives back, and more than any kernel wants as an alignment. */
const PAGE_BYTES = 4096;

export class Regions {
  /** By place; no two of them touch. */
  readonly #free: Region[];

  /** `sizeBytes` in whole pages. */
  constructor(sizeBytes: number) {
    this.#free = [{ at: 0, sizeBytes }];
  }

  /** At least `sizeBytes`, or undefined where no stretch is large enough. */
  take(sizeBytes: number): Region | undefined {
    const wanted = Math.max(1, Math.ceil(sizeBytes / PAGE_BYTES)) * PAGE_BYTES;
    const index = this.#free.findIndex((free) => free.sizeBytes >= wanted);
    const free = this.#free[index];
    if (free === undefined) return undefined;
    if (free.sizeBytes === wanted) this.#free.splice(index, 1);
    else this.#free[index] = { at: free.at + wanted, sizeBytes: free.sizeBytes - wanted };
    return { at: free.at, sizeBytes: wanted };
  }

  /** Gives back a region that `take` answered, once. */
  release(region: Region): void {
    let index = this.#free.findIndex((free) => free.at > region.at);
    if (index < 0) index = this.#free.length;
    const [before, after] = [this.#free[index - 1], this.#free[index]];
    let { at, sizeBytes } = region;
    let [from, count] = [index, 0];
    if (before !== undefined && before.at + before.sizeBytes === at) {
      [at, sizeBytes, from, count] = [before.at, before.sizeBytes + sizeBytes, index - 1, 1];
    }
    if (after !== undefined && at + sizeBytes === after.at) {
      sizeBytes += after.sizeBytes;
      count += 1;
    }
    this.#free.splice(from, count, { at, sizeBytes });
  }
}

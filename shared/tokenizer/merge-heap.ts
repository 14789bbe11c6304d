// The merges of a word that are possible now, the one to do next on top: the smallest rank, of equal ones the leftmost. A
// binary heap of numbers, since words may have as many characters as a text.

/** A word has fewer characters: a text may grow to 2^22 UTF-16 units (normalisers.ts), of at most 3 bytes each. */
const PLACES = 2 ** 24;

export class MergeHeap {
  /** rank x PLACES + place, each smaller than both children's at 2i + 1 and 2i + 2. */
  readonly #keys: number[] = [];

  push(rank: number, at: number): void {
    const keys = this.#keys;
    const key = rank * PLACES + at;
    let child = keys.push(key) - 1;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (keys[parent]! <= key) break;
      keys[child] = keys[parent]!;
      child = parent;
    }
    keys[child] = key;
  }

  /** Undefined when it is empty. */
  pop(): { readonly rank: number; readonly at: number } | undefined {
    const keys = this.#keys;
    const top = keys[0];
    const last = keys.pop();
    if (top === undefined || last === undefined) return undefined;
    if (keys.length > 0) this.#sink(last);
    return { rank: Math.floor(top / PLACES), at: top % PLACES };
  }

  #sink(key: number): void {
    const keys = this.#keys;
    let at = 0;
    for (let child = 1; child < keys.length; child = 2 * at + 1) {
      if (child + 1 < keys.length && keys[child + 1]! < keys[child]!) child += 1;
      if (keys[child]! >= key) break;
      keys[at] = keys[child]!;
      at = child;
    }
    keys[at] = key;
  }
}

// The keys of late, in bounded memory: two generations, and the older goes when the newer is full. So a key is remembered
// for at least `limit` others, and for at most twice as many.

export class RecentKeys {
  readonly #limit: number;
  #newer = new Set<string>();
  #older = new Set<string>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  has(key: string): boolean {
    return this.#newer.has(key) || this.#older.has(key);
  }

  add(key: string): void {
    this.#newer.add(key);
    if (this.#newer.size < this.#limit) return;
    this.#older = this.#newer;
    this.#newer = new Set();
  }

  /** True where it was there. */
  delete(key: string): boolean {
    const newer = this.#newer.delete(key);
    return this.#older.delete(key) || newer;
  }

  clear(): void {
    this.#newer.clear();
    this.#older.clear();
  }
}

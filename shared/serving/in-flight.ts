// How many requests of a model are under way, steps included: a bound on memory. A caller that fills it leaves room for others:
// beyond the bound a request still enters while its caller has less than an equal part of it. So all together are at
// most 1 + 1/2 + ... + 1/n bounds for n callers: 2.9 for ten.

export class InFlight {
  readonly #max: number;
  readonly #byCaller = new Map<string, number>();
  #count = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get count(): number {
    return this.#count;
  }

  /** False = there is no room; nothing was counted then. */
  enter(caller: string): boolean {
    if (!this.hasRoom(caller)) return false;
    this.#byCaller.set(caller, (this.#byCaller.get(caller) ?? 0) + 1);
    this.#count += 1;
    return true;
  }

  /** Would `enter` let it in? */
  hasRoom(caller: string): boolean {
    if (this.#count < this.#max) return true;
    const own = this.#byCaller.get(caller) ?? 0;
    return own < Math.floor(this.#max / (this.#byCaller.size + (own === 0 ? 1 : 0)));
  }

  /** Once for each `enter` that answered true. */
  leave(caller: string): void {
    const own = this.#byCaller.get(caller) ?? 0;
    if (own <= 1) this.#byCaller.delete(caller);
    else this.#byCaller.set(caller, own - 1);
    this.#count -= 1;
  }
}

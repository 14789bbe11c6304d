// The requests that wait for a graph: sorted by rank, handed out by turns (fair-shares.ts). A request counts on its caller's
// account from when it comes until it is settled, also while it runs.
import { FairShares, type Share, type Turn } from './fair-shares.js';

export class WaitingQueue<T extends Share> {
  readonly #shares: FairShares;
  readonly #byRank: T[] = [];

  constructor(weights?: ReadonlyMap<string, number>) {
    this.#shares = new FairShares(weights);
  }

  get length(): number {
    return this.#byRank.length;
  }

  /** In the order of rank. */
  get all(): readonly T[] {
    return this.#byRank;
  }

  /** As FairShares says. */
  enter(caller: string): string {
    return this.#shares.enter(caller);
  }

  leave({ account }: Share): void {
    this.#shares.leave(account);
  }

  /** After its equals. */
  add(item: T, rank = item.rank): void {
    this.#byRank.splice(insertionIndex(this.#byRank, rank), 0, item);
  }

  /** False when it isn't there. */
  remove(item: T): boolean {
    const at = this.#byRank.indexOf(item);
    if (at >= 0) this.#byRank.splice(at, 1);
    return at >= 0;
  }

  /** In the order in which they will run. */
  turns(): Turn<T>[] {
    return this.#shares.turns(this.#byRank);
  }

  /** The same as if `candidate` waited too. */
  turnsWith<C extends Share>(candidate: C): Turn<T | C>[] {
    const at = insertionIndex(this.#byRank, candidate.rank);
    return this.#shares.turns<T | C>([...this.#byRank.slice(0, at), candidate, ...this.#byRank.slice(at)]);
  }

  /** A run of it begins. */
  began(item: T): void {
    this.#shares.began(item);
  }

  /** Its part of the run took so long. */
  ended(item: T, tookMs: number): void {
    this.#shares.ended(item, tookMs);
  }
}

function insertionIndex(queue: readonly { readonly rank: number }[], rank: number): number {
  let low = 0;
  let high = queue.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((queue[middle]?.rank ?? Infinity) <= rank) low = middle + 1;
    else high = middle;
  }
  return low;
}

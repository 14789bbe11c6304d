// The requests that wait for a graph: sorted by rank, handed out by turns (fair-shares.ts), light callers' first (recent-use.ts). A
// request counts on its caller's account from when it comes until it is settled, also while it runs.
import { BEFORE_ALL, expectedMs, FairShares, type Share, type Turn } from './fair-shares.js';
import { RecentUse } from './recent-use.js';
import { TenantShares } from './tenant-shares.js';

/** What sums of fractions leave of nothing. */
const ROUNDING_MS = 1e-6;

export class WaitingQueue<T extends Share> {
  readonly #shares: FairShares;
  readonly #byRank: T[] = [];
  readonly #tenants = new TenantShares();
  /** What the waiting requests of each account are counted, all together. */
  readonly #waitingMs = new Map<string, number>();
  readonly #use = new RecentUse((account) => this.#waitingMs.get(account) ?? 0);
  /** What the runs under way were counted. */
  readonly #counted = new Map<T, number>();

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

  /** As TenantShares says, of an account that was entered. */
  enterTenant(account: string, tenant: string): string | undefined {
    return this.#tenants.enter(account, tenant);
  }

  leave(item: T): void {
    this.#counted.delete(item);
    this.turnedAway(item);
  }

  /** One that came and is not taken. */
  turnedAway(share: Share): void {
    this.#tenants.leave(share);
    this.#shares.leave(share.account);
  }

  /** After its equals. */
  add(item: T, rank = item.rank): void {
    this.#byRank.splice(insertionIndex(this.#byRank, rank), 0, item);
    this.#waits(item, expectedMs(item));
  }

  /** False when it isn't there. */
  remove(item: T): boolean {
    const at = this.#byRank.indexOf(item);
    if (at < 0) return false;
    this.#byRank.splice(at, 1);
    this.#waits(item, -expectedMs(item));
    return true;
  }

  #waits({ account }: T, ms: number): void {
    const sumMs = (this.#waitingMs.get(account) ?? 0) + ms;
    if (sumMs > ROUNDING_MS) this.#waitingMs.set(account, sumMs);
    else this.#waitingMs.delete(account);
  }

  /** In the order in which they will run. */
  turns(nowMs: number): Turn<T>[] {
    return this.#shares.turns(this.#byRank, this.#isLight(nowMs), this.#within);
  }

  /**
   * Who may share the next run, in the order of turns: a light caller's request doesn't wait for the rows of others, nor one of a
   * caller in between for those of heavy ones. `heavy`: of the first's caller. `turns`: of those that could share it.
   */
  nextInTurn(nowMs: number, turns = this.turns(nowMs)): { readonly members: readonly T[]; readonly heavy: boolean } {
    const [first] = turns;
    if (first === undefined) return { members: [], heavy: false };
    if (first.tag === BEFORE_ALL) {
      return { members: turns.filter(({ tag }) => tag === BEFORE_ALL).map(({ share }) => share), heavy: false };
    }
    const isHeavy = this.#use.heavy(nowMs);
    const heavy = isHeavy(first.share.account);
    const waiting = turns.map(({ share }) => share);
    return { members: heavy ? waiting : waiting.filter(({ account }) => !isHeavy(account)), heavy };
  }

  /** The same as if `candidate` waited too. */
  turnsWith<C extends Share>(candidate: C, nowMs: number): Turn<T | C>[] {
    const at = insertionIndex(this.#byRank, candidate.rank);
    const all = [...this.#byRank.slice(0, at), candidate, ...this.#byRank.slice(at)];
    return this.#shares.turns<T | C>(all, this.#isLight(nowMs), this.#within);
  }

  readonly #within = <S extends Share>(account: string, shares: readonly S[]): readonly Turn<S>[] | undefined =>
    this.#tenants.turns(account, shares);

  #isLight(nowMs: number): (share: Share) => boolean {
    const isLight = this.#use.isLight(nowMs);
    return ({ account, costMs }) => isLight(account, costMs);
  }

  /** A run of it begins. A light caller's is not counted: it goes before the heavy ones until it had a tenth of what they had. */
  began(item: T, nowMs: number): void {
    const before = this.#counted.get(item);
    if (before !== undefined) {
      this.#shares.correct(item, -before); // it made way: counted, and not had
      this.#tenants.ended(item, 0);
    }
    this.#tenants.began(item);
    const countedMs = this.#isLight(nowMs)(item) ? 0 : expectedMs(item);
    this.#counted.set(item, countedMs);
    this.#shares.began(item, countedMs);
  }

  /** Its part of the run took so long. */
  ended(item: T, tookMs: number, nowMs: number): void {
    const countedMs = this.#counted.get(item) ?? 0;
    if (countedMs > 0) this.#shares.correct(item, tookMs - countedMs);
    this.#counted.delete(item);
    this.#tenants.ended(item, tookMs);
    this.used(item.account, tookMs, nowMs);
  }

  /** A caller made others lose so much time, or had it. */
  used(account: string, ms: number, nowMs: number): void {
    this.#use.add(account, ms, nowMs);
  }

  get use(): Pick<RecentUse, 'heavyBeside' | 'lightRate'> {
    return this.#use;
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

// Whose turn it is when several callers wait for one executor: pure. Start-time fair queueing (Goyal, Vin and Cheng 1996): each
// caller has a tag, the virtual time up to which it has had its share, and a run moves it on by the run's measured time over
// the caller's weight. The rule:
//
//   The caller with the smallest tag goes next. Callers whose tags are equal are within their shares alike: among them, and
//   among the requests of one caller, the most urgent goes first (rank.ts).
//
// Who comes after a pause begins at the virtual time of now, so idleness saves nothing up and owes nothing; and so all who ask
// less than their share are equals, ordered by deadline alone, while those who ask for more take turns behind them. From
// that follow, and are tested: nobody starves; two who always wait differ by at most one run each over their weights; a free
// executor never waits; one caller alone has all of it, in the order of deadlines, as if there were no shares.
//
// Callers are remembered up to a limit, and only while they matter. Beyond it, newcomers share one account.

/** Callers with an account of their own at one time. */
export const LIMIT_CALLERS = 128;
/** Those beyond the limit. No name of a caller, which begins with a letter or a digit. */
const OTHERS = '(others)';
/** The tag of light callers: virtual time begins at 0. */
export const BEFORE_ALL = -1;
/** What a run counts whose time nobody knows yet; it is corrected when it ends. */
const UNKNOWN_MS = 1;

export interface Share {
  /** The account, as `enter` gave it. */
  readonly account: string;
  /** On whose behalf, within the account (tenant-shares.ts); absent = it names nobody. */
  readonly tenant?: string | undefined;
  /** Smaller is more urgent (rank.ts). */
  readonly rank: number;
  /** Expected time of its run; 0 = unknown. */
  readonly costMs: number;
  /** Cores that its run takes, and counts for; absent = 1. */
  readonly threads?: number;
}

/** A waiting request and the virtual time at which its turn comes; the smaller, the less its caller has had. */
export interface Turn<T extends Share> {
  readonly share: T;
  readonly tag: number;
  /** The same among those of its account; absent where that names nobody. */
  readonly within?: number | undefined;
}

/** The requests of one account, sorted by rank, in the order of their turns within it; undefined = as they are. */
type OrderWithin<T extends Share> = (account: string, shares: readonly T[]) => readonly Turn<T>[] | undefined;

interface Account {
  tag: number;
  /** Requests that wait or run. */
  present: number;
}

/** The requests of one account, and how many of them have had their turn. */
interface Line<T extends Share> {
  tag: number;
  readonly weight: number;
  shares: T[];
  /** Their tags within the account, where it has tenants. */
  within: readonly Turn<T>[] | undefined;
  next: number;
}

export class FairShares {
  readonly #weights: ReadonlyMap<string, number>;
  readonly #accounts = new Map<string, Account>();
  /** The largest tag with which a run began: where newcomers begin. */
  #virtualMs = 0;
  #present = 0;

  /** `weights`: of callers that get more or less than the others, whose weight is 1. */
  constructor(weights: ReadonlyMap<string, number> = new Map()) {
    this.#weights = weights;
  }

  /** A request of this caller has come. Answers with the account that it counts on; `leave` takes it. */
  enter(caller: string): string {
    let name = caller;
    if (!this.#accounts.has(name) && this.#accounts.size >= LIMIT_CALLERS) {
      this.#forget();
      if (this.#accounts.size >= LIMIT_CALLERS) name = OTHERS;
    }
    const account = this.#accounts.get(name);
    if (account === undefined) this.#accounts.set(name, { tag: this.#virtualMs, present: 1 });
    else account.present += 1;
    this.#present += 1;
    return name;
  }

  /** A request neither waits nor runs any more. With the last one all is forgotten. */
  leave(name: string): void {
    const account = this.#accounts.get(name);
    if (account === undefined) return;
    account.present -= 1;
    this.#present -= 1;
    if (this.#present > 0) return;
    this.#accounts.clear();
    this.#virtualMs = 0;
  }

  /** A run begins that counts so much: its caller's turn is over until the others have had as much. */
  began(share: Share, countedMs: number): void {
    const tag = this.#tagOf(share.account);
    this.#virtualMs = Math.max(this.#virtualMs, tag);
    this.#move(share.account, tag, countedMs);
  }

  /** What it counted was so much too little; less than 0, too much. */
  correct({ account }: Share, byMs: number): void {
    this.#move(account, this.#accounts.get(account)?.tag ?? 0, byMs);
  }

  /**
   * `waiting`, which is sorted by rank, in the order in which its turns come if nothing else comes. `isLight`: callers that go
   * before all others, and whose turns are not counted.
   */
  turns<T extends Share>(
    waiting: readonly T[],
    isLight: (first: T) => boolean = () => false,
    orderWithin: OrderWithin<T> = () => undefined,
  ): Turn<T>[] {
    const lines = new Map<string, Line<T>>();
    for (const share of waiting) {
      const { account } = share;
      const line = lines.get(account);
      if (line !== undefined) line.shares.push(share);
      else {
        const tag = isLight(share) ? BEFORE_ALL : this.#tagOf(account);
        lines.set(account, { tag, weight: this.#weightOf(account), shares: [share], within: undefined, next: 0 });
      }
    }
    for (const [account, line] of lines) {
      line.within = orderWithin(account, line.shares);
      if (line.within !== undefined) line.shares = line.within.map(({ share }) => share);
    }
    const turns: Turn<T>[] = [];
    for (let first = firstOf(lines); first !== undefined; first = firstOf(lines)) {
      const { line, share } = first;
      turns.push({ share, tag: line.tag, within: line.within?.[line.next]?.tag });
      line.next += 1;
      if (line.tag !== BEFORE_ALL) line.tag += expectedMs(share) / line.weight;
    }
    return turns;
  }

  #tagOf(name: string): number {
    return Math.max(this.#virtualMs, this.#accounts.get(name)?.tag ?? 0);
  }

  #weightOf(name: string): number {
    return this.#weights.get(name) ?? 1;
  }

  #move(name: string, tag: number, byMs: number): void {
    const account = this.#accounts.get(name);
    if (account !== undefined) account.tag = tag + byMs / this.#weightOf(name);
  }

  /** Accounts that say nothing any more: nobody there, and no turn ahead of the others'. */
  #forget(): void {
    for (const [name, { tag, present }] of this.#accounts) {
      if (present === 0 && tag <= this.#virtualMs) this.#accounts.delete(name);
    }
  }
}

/** What a run is counted before its time is known. */
export function expectedMs({ costMs, threads = 1 }: Share): number {
  return (costMs === 0 ? UNKNOWN_MS : costMs) * threads;
}

function firstOf<T extends Share>(lines: ReadonlyMap<string, Line<T>>): { line: Line<T>; share: T } | undefined {
  let first: { line: Line<T>; share: T } | undefined;
  for (const line of lines.values()) {
    const share = line.shares[line.next];
    if (share === undefined) continue;
    const sooner =
      first === undefined ||
      line.tag < first.line.tag ||
      (line.tag === first.line.tag && share.rank < first.share.rank);
    if (sooner) first = { line, share };
  }
  return first;
}

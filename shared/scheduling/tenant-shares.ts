// Turns within a caller's share: pure. A device or a token may say on whose behalf each request is (`tenant`); those that it names share
// what it gets, by the same rule as callers share the cores (fair-shares.ts). However many it names, all together have its share:
// a caller can divide what it has, and not multiply it.
import { expectedMs, FairShares, type Share, type Turn } from './fair-shares.js';

/** A caller that has named tenants, while requests of it wait or run. */
interface Within {
  readonly shares: FairShares;
  present: number;
}

export class TenantShares {
  readonly #callers = new Map<string, Within>();

  /** A request of this account has come; answers with what it counts on within, which `leave` takes. Undefined where nobody was named. */
  enter(account: string, tenant: string): string | undefined {
    let within = this.#callers.get(account);
    if (within === undefined) {
      if (tenant === '') return undefined;
      within = { shares: new FairShares(), present: 0 };
      this.#callers.set(account, within);
    }
    within.present += 1;
    return within.shares.enter(tenant);
  }

  leave({ account, tenant }: Share): void {
    const within = this.#callers.get(account);
    if (within === undefined || tenant === undefined) return;
    within.shares.leave(tenant);
    within.present -= 1;
    if (within.present === 0) this.#callers.delete(account);
  }

  /** As FairShares; a run counts what it is expected to, whoever had how much before. */
  began(share: Share): void {
    this.#callers.get(share.account)?.shares.began(withinOf(share), expectedMs(share));
  }

  ended(share: Share, tookMs: number): void {
    this.#callers.get(share.account)?.shares.correct(withinOf(share), tookMs - expectedMs(share));
  }

  /** Those of one account, which are sorted by rank, in the order of their turns within it. */
  turns<T extends Share>(account: string, waiting: readonly T[]): readonly Turn<T>[] | undefined {
    const within = this.#callers.get(account);
    if (within === undefined) return undefined;
    const turns = within.shares.turns(waiting.map((share) => ({ ...withinOf(share), share })));
    return turns.map(({ share, tag }) => ({ share: share.share, tag }));
  }
}

function withinOf({ tenant = '', rank, costMs, threads = 1 }: Share): Share {
  return { account: tenant, rank, costMs, threads };
}

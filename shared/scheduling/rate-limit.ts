// How many requests of a model may begin in a second: pure. A bucket holds as many tokens as may begin at once (those of one
// second, one at least) and fills at the rate; a request takes one, or is told when there will be one. Each caller may have a
// bucket of its own beside the one of all, so that one caller can't take all of what all may. A refused request takes nothing.
import { LIMIT_CALLERS } from './fair-shares.js';

interface RateLimits {
  /** Of all callers together. */
  readonly requestsPerSecond?: number | undefined;
  /** Of each caller. */
  readonly requestsPerSecondPerCaller?: number | undefined;
}

type RateDecision =
  { readonly allowed: true } | { readonly allowed: false; readonly retryAfterMs: number; readonly reason: string };

interface Bucket {
  tokens: number;
  atMs: number;
}

const ALLOWED = { allowed: true } as const;

export class RateLimit {
  readonly #limits: RateLimits;
  #all: Bucket | undefined;
  /** Of callers whose buckets aren't full; beyond the limit the fullest is forgotten, and full again. */
  readonly #byCaller = new Map<string, Bucket>();

  constructor(limits: RateLimits) {
    this.#limits = limits;
  }

  /** Is there any limit? */
  get states(): boolean {
    return this.#limits.requestsPerSecond !== undefined || this.#limits.requestsPerSecondPerCaller !== undefined;
  }

  /** `nowMs` is monotonic. */
  take(caller: string, nowMs: number): RateDecision {
    const decision = this.look(caller, nowMs);
    if (!decision.allowed) return decision;
    const { requestsPerSecond: all, requestsPerSecondPerCaller: each } = this.#limits;
    if (all !== undefined) this.#all = oneLess(filled(this.#all, all, nowMs));
    if (each === undefined) return decision;
    if (!this.#byCaller.has(caller) && this.#byCaller.size >= LIMIT_CALLERS) this.#forgetFullest();
    this.#byCaller.set(caller, oneLess(filled(this.#byCaller.get(caller), each, nowMs)));
    return decision;
  }

  /** What `take` would decide now; takes nothing. */
  look(caller: string, nowMs: number): RateDecision {
    const { requestsPerSecond: all, requestsPerSecondPerCaller: each } = this.#limits;
    const own = each === undefined ? undefined : filled(this.#byCaller.get(caller), each, nowMs);
    if (own !== undefined && each !== undefined && own.tokens < 1) {
      return refused(own, each, `each caller may ask ${each} times a second`);
    }
    const common = all === undefined ? undefined : filled(this.#all, all, nowMs);
    if (common !== undefined && all !== undefined && common.tokens < 1) {
      return refused(common, all, `all callers together may ask ${all} times a second`);
    }
    return ALLOWED;
  }

  #forgetFullest(): void {
    let fullest: string | undefined;
    let most = -Infinity;
    for (const [caller, { tokens, atMs }] of this.#byCaller) {
      const score = tokens - (atMs / 1000) * (this.#limits.requestsPerSecondPerCaller ?? 0); // what came since, but for a constant
      if (score > most) [fullest, most] = [caller, score];
    }
    if (fullest !== undefined) this.#byCaller.delete(fullest);
  }
}

function oneLess({ tokens, atMs }: Bucket): Bucket {
  return { tokens: tokens - 1, atMs };
}

function filled(bucket: Bucket | undefined, perSecond: number, nowMs: number): Bucket {
  const most = Math.max(1, perSecond);
  if (bucket === undefined) return { tokens: most, atMs: nowMs };
  const come = ((nowMs - bucket.atMs) / 1000) * perSecond;
  return { tokens: Math.min(most, bucket.tokens + come), atMs: nowMs };
}

function refused({ tokens }: Bucket, perSecond: number, reason: string): RateDecision {
  return { allowed: false, retryAfterMs: Math.ceil(((1 - tokens) / perSecond) * 1000), reason };
}

// What SIEVE is measured against: LRU, and W-TinyLFU (Einziger et al., 2017) with an exact count instead of a sketch, which
// favours it. Sizes are 1 for each entry. And traces: popularity by Zipf's law, broken by scans of keys that never come back.
import { Sieve } from '@tidegate/shared/cache/sieve.js';

export interface CachePolicyModel {
  /** True for a hit; a miss is put in. */
  ask(key: string): boolean;
}

export class Lru implements CachePolicyModel {
  readonly #keys = new Set<string>();
  constructor(readonly limit: number) {}

  ask(key: string): boolean {
    const hit = this.#keys.delete(key);
    this.#keys.add(key);
    if (this.#keys.size > this.limit) for (const oldest of this.#keys) return this.#keys.delete(oldest) && hit;
    return hit;
  }
}

export class SieveOfKeys implements CachePolicyModel {
  readonly #sieve: Sieve<true>;
  constructor(limit: number) {
    this.#sieve = new Sieve({ limitBytes: limit });
  }

  ask(key: string): boolean {
    const hit = this.#sieve.peek(key) === true;
    if (hit) this.#sieve.markUsed(key);
    else this.#sieve.set(key, true, 1);
    return hit;
  }
}

export class WTinyLfu implements CachePolicyModel {
  readonly #window = new Set<string>();
  readonly #probation = new Set<string>();
  readonly #protected = new Set<string>();
  readonly #counts = new Map<string, number>();
  #asked = 0;
  constructor(readonly limit: number) {}

  ask(key: string): boolean {
    this.#count(key);
    if (this.#window.delete(key)) {
      this.#window.add(key);
      return true;
    }
    if (this.#protected.delete(key)) {
      this.#protected.add(key);
      return true;
    }
    if (this.#probation.delete(key)) {
      this.#protected.add(key);
      if (this.#protected.size > 0.8 * 0.99 * this.limit) this.#probation.add(takeOldest(this.#protected));
      return true;
    }
    this.#window.add(key);
    if (this.#window.size > Math.max(1, 0.01 * this.limit)) this.#admit(takeOldest(this.#window));
    return false;
  }

  #admit(candidate: string): void {
    if (this.#window.size + this.#probation.size + this.#protected.size < this.limit) {
      this.#probation.add(candidate);
      return;
    }
    const from = this.#probation.size > 0 ? this.#probation : this.#protected;
    const [victim = candidate] = from;
    if ((this.#counts.get(candidate) ?? 0) <= (this.#counts.get(victim) ?? 0)) return;
    from.delete(victim);
    this.#probation.add(candidate);
  }

  /** Halved every ten times the limit, capped at 15, as the sketch does. */
  #count(key: string): void {
    this.#counts.set(key, Math.min(15, (this.#counts.get(key) ?? 0) + 1));
    this.#asked += 1;
    if (this.#asked < 10 * this.limit) return;
    this.#asked = 0;
    for (const [name, count] of this.#counts) {
      if (count < 2) this.#counts.delete(name);
      else this.#counts.set(name, count >> 1);
    }
  }
}

function takeOldest(keys: Set<string>): string {
  for (const key of keys) {
    keys.delete(key);
    return key;
  }
  throw new Error('empty');
}

export interface TraceOptions {
  readonly requests: number;
  readonly keys: number;
  /** Exponent of the popularity; 0.8 to 1 is what the web shows. */
  readonly skew: number;
  /** A scan of so many keys that are asked once... */
  readonly scanLength: number;
  /** ...after each so many requests; 0 = never. */
  readonly scanEvery: number;
}

export function* zipfWithScans(options: TraceOptions, random: () => number): Generator<string> {
  const cumulative: number[] = [];
  for (let rank = 1; rank <= options.keys; rank += 1) cumulative.push((cumulative.at(-1) ?? 0) + rank ** -options.skew);
  const total = cumulative.at(-1) ?? 1;
  let scanned = 0;
  for (let i = 1; i <= options.requests; i += 1) {
    yield `k${firstAtLeast(cumulative, random() * total)}`;
    if (options.scanEvery === 0 || i % options.scanEvery !== 0) continue;
    for (let s = 0; s < options.scanLength; s += 1) yield `scan${(scanned += 1)}`;
  }
}

function firstAtLeast(sorted: readonly number[], value: number): number {
  let [low, high] = [0, sorted.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

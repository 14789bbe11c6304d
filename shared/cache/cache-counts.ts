// What each model had from the cache. Bounded: who comes after the first LIMIT_MODELS names is counted as `other`, so that no
// caller can make up rows.
import type { CacheLayerName } from './cache-layer.js';

export interface ModelCacheCounts {
  /** By layer. */
  readonly hits: Readonly<Partial<Record<CacheLayerName, number>>>;
  /** Of the hits, those older than the TTL. */
  readonly staleHits: number;
  readonly misses: number;
  /** Of the misses, those that an equal request's run answered. */
  readonly joined: number;
}

interface Counts {
  hits: Partial<Record<CacheLayerName, number>>;
  staleHits: number;
  misses: number;
  joined: number;
}

const LIMIT_MODELS = 256;
const NONE: ModelCacheCounts = { hits: {}, staleHits: 0, misses: 0, joined: 0 };

export class CacheCounts {
  readonly #models = new Map<string, Counts>();

  hit(model: string, layer: CacheLayerName, stale: boolean): void {
    const counts = this.#counts(model);
    counts.hits[layer] = (counts.hits[layer] ?? 0) + 1;
    if (stale) counts.staleHits += 1;
  }

  missed(model: string, joined: boolean): void {
    const counts = this.#counts(model);
    counts.misses += 1;
    if (joined) counts.joined += 1;
  }

  names(): readonly string[] {
    return [...this.#models.keys()];
  }

  of(model: string): ModelCacheCounts {
    const { hits, ...rest } = this.#models.get(model) ?? NONE;
    return { hits: { ...hits }, ...rest };
  }

  #counts(model: string): Counts {
    const name = this.#models.has(model) || this.#models.size < LIMIT_MODELS ? model : 'other';
    let counts = this.#models.get(name);
    if (counts === undefined) {
      counts = { hits: {}, staleHits: 0, misses: 0, joined: 0 };
      this.#models.set(name, counts);
    }
    return counts;
  }
}

// One layer of the cache. The agent asks its layers from the nearest on: memory first; a disk layer and the hub's shared
// layer are to come behind this same interface. A layer keeps what it is given within its byte limit and forgets by itself;
// it never fails a request: a layer that can't read answers undefined, and counts it.
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';

export type CacheLayerName = 'memory' | 'disk' | 'hub';

/** What is kept of an answer: enough to give it again byte for byte, and to say where it came from. */
export interface CachedAnswer {
  /** Who computed it. */
  readonly answeredBy: 'edge' | 'hub';
  readonly outputs: readonly NamedTensor[];
  readonly confidence: number | undefined;
  readonly version: string;
  readonly modelDigest: string;
  readonly variant: string;
  readonly variantDigest: string;
}

export interface CacheHit {
  readonly answer: CachedAnswer;
  readonly ageMs: number;
}

export interface CacheLayerCounts {
  readonly hits: number;
  readonly misses: number;
  readonly stale: number;
  readonly stores: number;
  readonly evictions: number;
  readonly entries: number;
  readonly sizeBytes: number;
  readonly limitBytes: number;
}

export interface CacheLayer {
  readonly name: CacheLayerName;
  /** Undefined where it has none, or none as young as `maxAgeMs`. */
  get(key: string, maxAgeMs: number, signal: AbortSignal): Promise<CacheHit | undefined> | CacheHit | undefined;
  put(key: string, answer: CachedAnswer): Promise<void> | void;
  clear(): Promise<void> | void;
  readonly counts: CacheLayerCounts;
}

// One layer of the cache. The agent asks its layers from the nearest on: memory, then disk; the hub's shared layer is asked last, by
// whoever would compute (shared-layer.ts). A layer keeps what it is given within its byte limit and forgets by itself; it never fails a
// request: a layer that can't read answers undefined, and counts it.
import type { NamedTensor } from '../tensor/tensor.js';

export type CacheLayerName = 'memory' | 'disk' | 'hub' | 'semantic';

/** What is kept of an answer: enough to give it again byte for byte, and to say where it came from. */
export interface CachedAnswer {
  /** Who computed it. */
  readonly answeredBy: 'edge' | 'hub' | 'split';
  readonly outputs: readonly NamedTensor[];
  readonly confidence: number | undefined;
  readonly version: string;
  readonly modelDigest: string;
  readonly variant: string;
  readonly variantDigest: string;
}

/** What an answer is kept under beside its key: by what it is found again when it must go. */
export interface CacheLabels {
  readonly model: string;
  readonly tags: readonly string[];
}

export interface CacheEntry {
  readonly answer: CachedAnswer;
  readonly labels: CacheLabels;
  /** Age when it is put: 0 for one just computed, more for one that another layer had. */
  readonly ageMs: number;
  /** What computing it took; a layer that wears out keeps what was dear. 0 where another layer had it. */
  readonly computeUs: number;
}

export interface CacheHit {
  readonly answer: CachedAnswer;
  readonly labels: CacheLabels;
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
  /** Entries that were not what they said, and writes that failed; of layers that can break. */
  readonly broken?: number;
  /** Answers that were given up before they were written: the queue was full. */
  readonly dropped?: number;
  /** Of layers whose answers this device did not compute: hits that were computed anyway, and those that then differed. */
  readonly audits?: number;
  readonly disagreements?: number;
}

/** Which entries must go: those of the model, those with the tag, those with both; all where it says neither. */
export interface CacheSelection {
  readonly model?: string | undefined;
  readonly tag?: string | undefined;
}

export interface CacheLayer {
  readonly name: CacheLayerName;
  /** Undefined where it has none, or none as young as `maxAgeMs`. */
  get(key: string, maxAgeMs: number, signal: AbortSignal): Promise<CacheHit | undefined> | CacheHit | undefined;
  put(key: string, entry: CacheEntry): Promise<void> | void;
  /** A nearer layer answered with it: a layer that keeps only what is asked for twice hears it here. */
  wanted?(key: string, hit: CacheHit): void;
  /** Returns how many entries went. None of them is given from here on. */
  drop(selection: CacheSelection): number;
  /** Entries and bytes by model. */
  models(): ReadonlyMap<string, { readonly entries: number; readonly sizeBytes: number }>;
  readonly counts: CacheLayerCounts;
}

export function isSelected({ model, tags }: CacheLabels, selection: CacheSelection): boolean {
  return (
    (selection.model === undefined || selection.model === model) &&
    (selection.tag === undefined || tags.includes(selection.tag))
  );
}

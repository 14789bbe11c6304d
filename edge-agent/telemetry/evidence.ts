// Finished requests, added up per model and running variant until the window is sent. Sums and fixed-bound histograms only:
// windows of many devices merge exactly on the hub, and nothing of a request's content is in them.
import { LATENCY_BOUNDS_MS, type Evidence } from '@tidegate/shared/wire/telemetry.js';
import type { FinishedRequest } from './answer-observer.js';

/** Rows of one window, the wire's own limit; what does not fit is counted in `skipped`. */
const LIMIT_ROWS = 512;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class EvidenceWindow {
  readonly #rows = new Map<string, Mutable<Evidence>>();
  #skipped = 0;

  get empty(): boolean {
    return this.#rows.size === 0;
  }

  /** Requests that found no row because LIMIT_ROWS others were there. */
  get skipped(): number {
    return this.#skipped;
  }

  add(request: FinishedRequest): void {
    if (request.outcome === 'refused') return; // neither answered nor failed by the model
    const row = this.#row(request);
    if (row === undefined) return;
    if (request.outcome === 'model-error') row.errors += 1;
    else row.requests += 1;
    if (request.outcome === 'cache') row.cacheHits += 1;
    if (request.outcome === 'hub') row.hubAnswers += 1;
    if (request.outcome === 'edge') {
      const bucket = latencyBucket(request.totalMs);
      row.latencyBuckets[bucket] = (row.latencyBuckets[bucket] ?? 0) + 1;
    }
    const confidence = request.edgeConfidence;
    if (confidence === undefined || request.outcome === 'cache') return;
    row.confidenceCount += 1;
    row.confidenceSum += confidence;
    row.confidenceSumOfSquares += confidence * confidence;
  }

  /** The window so far; it stays until `clear`, so that a window that could not be stored is not lost. */
  rows(): Evidence[] {
    return [...this.#rows.values()].map((row) => ({ ...row, latencyBuckets: [...row.latencyBuckets] }));
  }

  clear(): void {
    this.#rows.clear();
    this.#skipped = 0;
  }

  #row({ model, versionDigest, variantDigest }: FinishedRequest): Mutable<Evidence> | undefined {
    const key = `${model}\n${versionDigest}\n${variantDigest}`;
    const found = this.#rows.get(key);
    if (found !== undefined) return found;
    if (this.#rows.size >= LIMIT_ROWS) {
      this.#skipped += 1;
      return undefined;
    }
    const row = {
      model,
      versionDigest,
      variantDigest,
      requests: 0,
      errors: 0,
      cacheHits: 0,
      hubAnswers: 0,
      latencyBuckets: Array.from({ length: LATENCY_BOUNDS_MS.length + 1 }, () => 0),
      confidenceCount: 0,
      confidenceSum: 0,
      confidenceSumOfSquares: 0,
    };
    this.#rows.set(key, row);
    return row;
  }
}

/** Index of the bucket whose bound is the first that is not below `ms`; the last one takes the rest. */
export function latencyBucket(ms: number): number {
  let low = 0;
  let high = LATENCY_BOUNDS_MS.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((LATENCY_BOUNDS_MS[middle] as number) < ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

// What was asked of each model and what came of it, in the terms of Triton's statistics extension (extension_statistics.md):
// requests by outcome with the time they took, rows that were computed, runs of the model's first graph by their rows.
// Invariants: counting never throws and never waits; what is kept is bounded by VERSIONS_MAX and BATCH_SIZES_MAX.

/** A cumulative count with the time that all of it took. */
export interface StatisticDuration {
  readonly count: number;
  readonly ns: number;
}

export interface ModelStatistics {
  readonly name: string;
  readonly version: string;
  /** Wall clock, ms; 0 = never. */
  readonly lastInferenceMs: number;
  /** Rows that were computed; an answer of the cache is none. */
  readonly inferenceCount: number;
  /** Runs; fewer than rows where requests shared them. */
  readonly executionCount: number;
  readonly success: StatisticDuration;
  readonly fail: StatisticDuration;
  readonly queue: StatisticDuration;
  readonly computeInfer: StatisticDuration;
  readonly cacheHit: StatisticDuration;
  readonly cacheMiss: StatisticDuration;
  /** By rows of a run, ascending. */
  readonly batches: readonly { readonly rows: number; readonly computeInfer: StatisticDuration }[];
}

/** One request's end. Times in microseconds. */
export interface InferenceEnd {
  readonly outcome: 'computed' | 'cached' | 'elsewhere' | 'failed';
  readonly rows: number;
  readonly totalUs: number;
  readonly queueUs: number;
  readonly computeUs: number;
  /** The model's answers are cached, and this one was not there. */
  readonly missed: boolean;
  readonly atMs: number;
}

/** Versions that are counted; beyond, the ones counted first are forgotten. */
const VERSIONS_MAX = 1024;
/** Different numbers of rows that a version's runs are told apart by: callers choose them. Runs of others count as runs only. */
const BATCH_SIZES_MAX = 256;

class Sum {
  count = 0;
  ns = 0;

  add(us: number): void {
    this.count += 1;
    this.ns += Math.round(us * 1000);
  }

  get value(): StatisticDuration {
    return { count: this.count, ns: this.ns };
  }
}

class VersionCounts {
  lastInferenceMs = 0;
  inferenceCount = 0;
  executionCount = 0;
  readonly success = new Sum();
  readonly fail = new Sum();
  readonly queue = new Sum();
  readonly computeInfer = new Sum();
  readonly cacheHit = new Sum();
  readonly cacheMiss = new Sum();
  readonly batches = new Map<number, Sum>();
}

export class InferenceStatistics {
  readonly #versions = new Map<string, VersionCounts>();
  #requestCount = 0;

  /** Requests that ended, over all models. */
  get requestCount(): number {
    return this.#requestCount;
  }

  /** A run of the model's first graph ended well. */
  ran(model: string, version: string, rows: number, computeUs: number): void {
    const counts = this.#of(model, version);
    counts.executionCount += 1;
    if (!counts.batches.has(rows) && counts.batches.size < BATCH_SIZES_MAX) counts.batches.set(rows, new Sum());
    counts.batches.get(rows)?.add(computeUs);
  }

  ended(model: string, version: string, end: InferenceEnd): void {
    this.#requestCount += 1;
    const counts = this.#of(model, version);
    if (end.outcome === 'failed') {
      counts.fail.add(end.totalUs);
      return;
    }
    counts.success.add(end.totalUs);
    counts.lastInferenceMs = end.atMs;
    counts.queue.add(end.outcome === 'computed' ? end.queueUs : 0); // "includes cache hits": perf_analyzer sees by it that a version answers
    if (end.outcome === 'cached') counts.cacheHit.add(end.totalUs);
    if (end.outcome !== 'computed') return;
    counts.inferenceCount += end.rows;
    counts.computeInfer.add(end.computeUs);
    if (end.missed) counts.cacheMiss.add(0); // looking it up is not timed apart
  }

  /** Zeros for a version that nobody has asked yet. */
  of(name: string, version: string): ModelStatistics {
    const counts = this.#versions.get(keyOf(name, version)) ?? new VersionCounts();
    const { lastInferenceMs, inferenceCount, executionCount } = counts;
    return {
      name,
      version,
      lastInferenceMs,
      inferenceCount,
      executionCount,
      success: counts.success.value,
      fail: counts.fail.value,
      queue: counts.queue.value,
      computeInfer: counts.computeInfer.value,
      cacheHit: counts.cacheHit.value,
      cacheMiss: counts.cacheMiss.value,
      batches: [...counts.batches]
        .sort(([a], [b]) => a - b)
        .map(([rows, { value: computeInfer }]) => ({ rows, computeInfer })),
    };
  }

  #of(model: string, version: string): VersionCounts {
    const key = keyOf(model, version);
    let counts = this.#versions.get(key);
    if (counts === undefined) {
      this.#versions.set(key, (counts = new VersionCounts()));
      if (this.#versions.size > VERSIONS_MAX) {
        for (const oldest of this.#versions.keys()) {
          this.#versions.delete(oldest);
          break;
        }
      }
    }
    return counts;
  }
}

const keyOf = (model: string, version: string): string => `${model}\n${version}`;

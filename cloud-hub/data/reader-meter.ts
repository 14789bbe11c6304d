// What reading costs: the reader's own throughput while it reads, and the share of its time that the trainer waited for data.
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { PreparedRows } from './prepared-rows.js';

export interface ReaderStats {
  readonly samples: number;
  /** Of prepared tensors. */
  readonly bytes: number;
  /** Per second of reading, not of waiting for the trainer. */
  readonly samplesPerSecond: number;
  readonly megabytesPerSecond: number;
  /** 0..1 of the time since the first batch was asked for until the last was handed over. */
  readonly waitShare: number;
  readonly waitMs: number;
  readonly cachedBytes: number;
  /** 0..1 of the rows. */
  readonly cacheHitShare: number;
}

export class ReaderMeter {
  readonly #clock: Clock;
  #samples = 0;
  #bytes = 0;
  #readMs = 0;
  #waitMs = 0;
  #firstMs: number | undefined;
  #lastMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  delivered(samples: number, bytes: number): void {
    this.#samples += samples;
    this.#bytes += bytes;
  }

  async reading<T>(work: Promise<T>): Promise<T> {
    const startMs = this.#clock.monotonicMs();
    try {
      return await work;
    } finally {
      this.#readMs += this.#clock.monotonicMs() - startMs;
    }
  }

  async waiting<T>(work: Promise<T>): Promise<T> {
    const startMs = this.#clock.monotonicMs();
    this.#firstMs ??= startMs;
    try {
      return await work;
    } finally {
      this.#lastMs = this.#clock.monotonicMs();
      this.#waitMs += this.#lastMs - startMs;
    }
  }

  stats({ sizeBytes, hits, misses }: Pick<PreparedRows, 'sizeBytes' | 'hits' | 'misses'>): ReaderStats {
    const elapsedMs = this.#lastMs - (this.#firstMs ?? this.#lastMs);
    const perSecond = (count: number): number => (this.#readMs === 0 ? 0 : (count * 1000) / this.#readMs);
    return {
      samples: this.#samples,
      bytes: this.#bytes,
      samplesPerSecond: perSecond(this.#samples),
      megabytesPerSecond: perSecond(this.#bytes / 1e6),
      waitShare: elapsedMs === 0 ? 0 : Math.min(1, this.#waitMs / elapsedMs),
      waitMs: this.#waitMs,
      cachedBytes: sizeBytes,
      cacheHitShare: hits + misses === 0 ? 0 : hits / (hits + misses),
    };
  }
}

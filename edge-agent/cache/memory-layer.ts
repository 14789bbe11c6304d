// Answers in memory within a limit of bytes; SIEVE says which make room. Outputs are copied in when they are views of a larger
// buffer (a batch's, a body's), so that a small entry never holds a large block alive. Age is monotonic: a clock that jumps
// neither revives nor expires an entry.
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import {
  isSelected,
  type CachedAnswer,
  type CacheEntry,
  type CacheHit,
  type CacheLabels,
  type CacheLayer,
  type CacheLayerCounts,
  type CacheSelection,
} from './cache-layer.js';
import { Sieve } from './sieve.js';

/** What an entry takes beside its tensors' bytes: key, map slot, objects. */
const ENTRY_OVERHEAD_BYTES = 700;
/** One answer may take at most this share of the layer; larger ones are not kept. */
const LARGEST_SHARE = 1 / 4;

interface Kept {
  readonly answer: CachedAnswer;
  readonly labels: CacheLabels;
  /** When it was computed, monotonic; before this process's start where another layer had it. */
  readonly computedMs: number;
}

export class MemoryLayer implements CacheLayer {
  readonly name = 'memory';
  readonly #limitBytes: number;
  readonly #clock: Clock;
  readonly #entries: Sieve<Kept>;
  #counts = { hits: 0, misses: 0, stale: 0, stores: 0, evictions: 0 };

  constructor(options: { readonly limitBytes: number }, modules: { readonly clock: Clock }) {
    this.#limitBytes = options.limitBytes;
    this.#clock = modules.clock;
    this.#entries = new Sieve(options);
  }

  get(key: string, maxAgeMs: number): CacheHit | undefined {
    const kept = this.#entries.peek(key);
    if (kept === undefined) {
      this.#counts.misses += 1;
      return undefined;
    }
    const ageMs = this.#clock.monotonicMs() - kept.computedMs;
    if (ageMs > maxAgeMs) {
      this.#counts.stale += 1;
      return undefined; // stays: another request may allow more age, and a fresh answer replaces it
    }
    this.#entries.markUsed(key);
    this.#counts.hits += 1;
    return { answer: kept.answer, labels: kept.labels, ageMs };
  }

  put(key: string, { answer, labels, ageMs }: CacheEntry): void {
    const outputs = answer.outputs.map(ownCopy);
    const sizeBytes = outputs.reduce((sum, output) => sum + output.data.byteLength, ENTRY_OVERHEAD_BYTES);
    if (sizeBytes > this.#limitBytes * LARGEST_SHARE) return;
    const computedMs = this.#clock.monotonicMs() - ageMs;
    this.#counts.evictions += this.#entries.set(key, { answer: { ...answer, outputs }, labels, computedMs }, sizeBytes);
    this.#counts.stores += 1;
  }

  drop(selection: CacheSelection): number {
    return this.#entries.removeWhere(({ labels }) => isSelected(labels, selection));
  }

  models(): Map<string, { entries: number; sizeBytes: number }> {
    const models = new Map<string, { entries: number; sizeBytes: number }>();
    for (const { value, sizeBytes } of this.#entries) {
      const sum = models.get(value.labels.model) ?? { entries: 0, sizeBytes: 0 };
      models.set(value.labels.model, { entries: sum.entries + 1, sizeBytes: sum.sizeBytes + sizeBytes });
    }
    return models;
  }

  get counts(): CacheLayerCounts {
    const { entries, sizeBytes } = this.#entries;
    return { ...this.#counts, entries, sizeBytes, limitBytes: this.#limitBytes };
  }
}

function ownCopy(output: NamedTensor): NamedTensor {
  const { data } = output;
  return data.byteLength === data.buffer.byteLength ? output : { ...output, data: new Uint8Array(data) };
}

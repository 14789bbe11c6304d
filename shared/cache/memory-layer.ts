// Answers in memory within a limit of bytes; SIEVE says which make room. Outputs are copied in when they are views of a larger
// buffer (a batch's, a body's), so that a small entry never holds a large block alive. Age is monotonic: a clock that jumps
// neither revives nor expires an entry. Outputs of stages (stage-cache.ts) lie among the answers, under the same limit and dropped alike.
import type { Clock } from '../system/clock.js';
import type { NamedTensor } from '../tensor/tensor.js';
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
  /** Undefined for the outputs of a stage. */
  readonly answer: CachedAnswer | undefined;
  readonly outputs: readonly NamedTensor[];
  readonly labels: CacheLabels;
  /** When it was computed, monotonic; before this process's start where another layer had it. */
  readonly computedMs: number;
}

export class MemoryLayer implements CacheLayer {
  readonly name = 'memory';
  readonly #limitBytes: number;
  readonly #clock: Clock;
  readonly #entries: Sieve<Kept>;
  #drops = 0;
  #counts = { hits: 0, misses: 0, stale: 0, stores: 0, evictions: 0 };

  constructor(options: { readonly limitBytes: number }, modules: { readonly clock: Clock }) {
    this.#limitBytes = options.limitBytes;
    this.#clock = modules.clock;
    this.#entries = new Sieve(options);
  }

  get(key: string, maxAgeMs: number): CacheHit | undefined {
    const kept = this.#entries.peek(key);
    if (kept?.answer === undefined) {
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
    const computedMs = this.#clock.monotonicMs() - ageMs;
    this.#keep(key, { answer: { ...answer, outputs }, outputs, labels, computedMs });
  }

  /** Outputs of a stage. Not counted as lookups of answers. */
  getStage(key: string, maxAgeMs: number): readonly NamedTensor[] | undefined {
    const kept = this.#entries.peek(key);
    if (kept === undefined || this.#clock.monotonicMs() - kept.computedMs > maxAgeMs) return undefined;
    this.#entries.markUsed(key);
    return kept.outputs;
  }

  putStage(key: string, made: readonly NamedTensor[], labels: CacheLabels): void {
    const outputs = made.map(ownCopy);
    this.#keep(key, { answer: undefined, outputs, labels, computedMs: this.#clock.monotonicMs() });
  }

  #keep(key: string, kept: Kept): void {
    const sizeBytes = kept.outputs.reduce((sum, output) => sum + output.data.byteLength, ENTRY_OVERHEAD_BYTES);
    if (sizeBytes > this.#limitBytes * LARGEST_SHARE) return;
    this.#counts.evictions += this.#entries.set(key, kept, sizeBytes);
    this.#counts.stores += 1;
  }

  /** How often something was dropped: what was being computed before is not kept after it. */
  get drops(): number {
    return this.#drops;
  }

  drop(selection: CacheSelection): number {
    this.#drops += 1;
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

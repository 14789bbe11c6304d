// Answers in memory, least recently used out first, within a limit of bytes. Outputs are copied in when they are views of
// a larger buffer (a batch's, a body's), so that a small entry never holds a large block alive. Age is monotonic: a clock
// that jumps neither revives nor expires an entry.
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import type { CachedAnswer, CacheHit, CacheLayer, CacheLayerCounts } from './cache-layer.js';

/** What an entry takes beside its tensors' bytes: key, map slot, objects. */
const ENTRY_OVERHEAD_BYTES = 700;
/** One answer may take at most this share of the layer; larger ones are not kept. */
const LARGEST_SHARE = 1 / 4;

interface Entry {
  readonly answer: CachedAnswer;
  readonly storedMs: number;
  readonly sizeBytes: number;
}

export class MemoryLayer implements CacheLayer {
  readonly name = 'memory';
  readonly #limitBytes: number;
  readonly #clock: Clock;
  /** In order of last use. */
  readonly #entries = new Map<string, Entry>();
  #sizeBytes = 0;
  #counts = { hits: 0, misses: 0, stale: 0, stores: 0, evictions: 0 };

  constructor(options: { readonly limitBytes: number }, modules: { readonly clock: Clock }) {
    this.#limitBytes = options.limitBytes;
    this.#clock = modules.clock;
  }

  get(key: string, maxAgeMs: number): CacheHit | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      this.#counts.misses += 1;
      return undefined;
    }
    const ageMs = this.#clock.monotonicMs() - entry.storedMs;
    if (ageMs > maxAgeMs) {
      this.#counts.stale += 1;
      return undefined; // stays: another request may allow more age, and a fresh answer replaces it
    }
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    this.#counts.hits += 1;
    return { answer: entry.answer, ageMs };
  }

  put(key: string, answer: CachedAnswer): void {
    const outputs = answer.outputs.map(ownCopy);
    const sizeBytes = outputs.reduce((sum, output) => sum + output.data.byteLength, ENTRY_OVERHEAD_BYTES);
    this.#drop(key);
    if (sizeBytes > this.#limitBytes * LARGEST_SHARE) return;
    this.#entries.set(key, { answer: { ...answer, outputs }, storedMs: this.#clock.monotonicMs(), sizeBytes });
    this.#sizeBytes += sizeBytes;
    this.#counts.stores += 1;
    while (this.#sizeBytes > this.#limitBytes) {
      const oldest = this.#entries.keys().next();
      if (oldest.done) break;
      this.#drop(oldest.value);
      this.#counts.evictions += 1;
    }
  }

  clear(): void {
    this.#entries.clear();
    this.#sizeBytes = 0;
  }

  get counts(): CacheLayerCounts {
    return { ...this.#counts, entries: this.#entries.size, sizeBytes: this.#sizeBytes, limitBytes: this.#limitBytes };
  }

  #drop(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#sizeBytes -= entry.sizeBytes;
  }
}

function ownCopy(output: NamedTensor): NamedTensor {
  const { data } = output;
  return data.byteLength === data.buffer.byteLength ? output : { ...output, data: new Uint8Array(data) };
}

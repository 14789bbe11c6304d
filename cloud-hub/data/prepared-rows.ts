// Prepared rows in memory, up to a limit. What is in stays in: epochs go over the whole set again and again, and there dropping the
// least recently used row would drop each one just before it comes back.
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';

export class PreparedRows {
  readonly #limitBytes: number;
  readonly #rows = new Map<Digest, readonly NamedTensor[]>();
  #sizeBytes = 0;
  #hits = 0;
  #misses = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get hits(): number {
    return this.#hits;
  }

  get misses(): number {
    return this.#misses;
  }

  get(id: Digest): readonly NamedTensor[] | undefined {
    const row = this.#rows.get(id);
    if (row === undefined) this.#misses += 1;
    else this.#hits += 1;
    return row;
  }

  /** Kept where it fits beside the others. */
  add(id: Digest, row: readonly NamedTensor[]): void {
    const sizeBytes = row.reduce((sum, { data }) => sum + data.byteLength, 0);
    if (this.#rows.has(id) || this.#sizeBytes + sizeBytes > this.#limitBytes) return;
    // A view would keep the whole buffer that it looks into.
    const owned = row.map((value) => (ownsItsBytes(value) ? value : { ...value, data: new Uint8Array(value.data) }));
    this.#rows.set(id, owned);
    this.#sizeBytes += sizeBytes;
  }

  clear(): void {
    this.#rows.clear();
    this.#sizeBytes = 0;
  }
}

function ownsItsBytes({ data }: NamedTensor): boolean {
  return data.byteLength === data.buffer.byteLength;
}

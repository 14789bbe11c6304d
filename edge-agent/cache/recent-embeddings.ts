// The nearest of the embeddings of late: a ring of so many vectors, searched in full. A thousand vectors of 512 numbers take less than a
// millisecond, less than what any model takes whose answers are worth this. Pure.

export type Distance = 'cosine' | 'mean-abs';

interface Entry<T> {
  readonly vector: Float32Array;
  readonly value: T;
}

interface Near<T> {
  readonly value: T;
  readonly distance: number;
}

export class RecentEmbeddings<T> {
  readonly #distance: Distance;
  readonly #entriesMax: number;
  /** The oldest first. */
  #entries: Entry<T>[] = [];

  constructor(options: { readonly distance: Distance; readonly entriesMax: number }) {
    this.#distance = options.distance;
    this.#entriesMax = options.entriesMax;
  }

  get values(): readonly T[] {
    return this.#entries.map(({ value }) => value);
  }

  /** The nearest of those that `fits`, at most `threshold` away; vectors of another length are none. */
  nearest(embedding: Float32Array, threshold: number, fits: (value: T) => boolean): Near<T> | undefined {
    const vector = this.#prepared(embedding);
    let near: Near<T> | undefined;
    for (const { vector: other, value } of this.#entries) {
      if (other.length !== vector.length || !fits(value)) continue;
      const distance = this.#between(vector, other);
      if (distance <= (near?.distance ?? threshold)) near = { value, distance };
    }
    return near;
  }

  /** False where the vector has no direction or is not finite: it would be near to nothing. Make room first. */
  add(embedding: Float32Array, value: T): boolean {
    const vector = this.#prepared(embedding);
    if (!vector.every(Number.isFinite)) return false;
    this.#entries.push({ vector, value });
    return true;
  }

  get isFull(): boolean {
    return this.#entries.length >= this.#entriesMax;
  }

  removeOldest(): T | undefined {
    return this.#entries.shift()?.value;
  }

  removeWhere(matches: (value: T) => boolean): void {
    this.#entries = this.#entries.filter(({ value }) => !matches(value));
  }

  /** A copy; for cosine of length 1. A vector of zeros has no direction and becomes NaN, which is near to nothing. */
  #prepared(embedding: Float32Array): Float32Array {
    if (this.#distance === 'mean-abs') return Float32Array.from(embedding);
    const length = Math.sqrt(embedding.reduce((sum, one) => sum + one * one, 0));
    return embedding.map((one) => one / length);
  }

  #between(one: Float32Array, other: Float32Array): number {
    let sum = 0;
    if (this.#distance === 'cosine') {
      for (let at = 0; at < one.length; at += 1) sum += one[at]! * other[at]!;
      return Math.max(0, 1 - sum);
    }
    for (let at = 0; at < one.length; at += 1) sum += Math.abs(one[at]! - other[at]!);
    return sum / one.length;
  }
}

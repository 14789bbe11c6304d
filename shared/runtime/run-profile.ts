// How long runs of one graph take, by the size of their input (design decision 4: measured, not configured). Sizes fall into
// buckets a quarter of a doubling wide, so batches of 1, 2, 3, 4 are told apart and the table stays small. The scheduler reads
// the smoothed time; the hang policy reads the slowest that was seen, which fades.
import { elementCount, type Tensor } from '../tensor/tensor.js';

const BUCKETS_PER_DOUBLING = 4;
const SMOOTHING = 0.2;
const SLOWEST_FADES_BY = 0.98;

interface Bucket {
  readonly elements: number;
  smoothedUs: number;
  slowestUs: number;
}

/** Elements over all inputs; BYTES count their bytes. */
export function inputElements(feeds: readonly Tensor[]): number {
  return feeds.reduce(
    (sum, feed) => sum + (feed.datatype === 'BYTES' ? feed.data.byteLength : (elementCount(feed.shape) ?? 0)),
    0,
  );
}

export class RunProfile {
  readonly #buckets = new Map<number, Bucket>();

  record(elements: number, tookUs: number): void {
    const key = bucketOf(elements);
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      this.#buckets.set(key, { elements: Math.max(elements, 1), smoothedUs: tookUs, slowestUs: tookUs });
      return;
    }
    bucket.smoothedUs += SMOOTHING * (tookUs - bucket.smoothedUs);
    bucket.slowestUs = Math.max(tookUs, bucket.slowestUs * SLOWEST_FADES_BY);
  }

  /** The expected time of a run in microseconds; from the nearest measured size, in proportion, where this one is new. */
  expectedUs(elements: number): number | undefined {
    return this.#read(elements, (bucket) => bucket.smoothedUs);
  }

  slowestUs(elements: number): number | undefined {
    return this.#read(elements, (bucket) => bucket.slowestUs);
  }

  #read(elements: number, of: (bucket: Bucket) => number): number | undefined {
    const key = bucketOf(elements);
    const exact = this.#buckets.get(key);
    if (exact !== undefined) return of(exact);
    let nearest: Bucket | undefined;
    let distance = Infinity;
    for (const [other, bucket] of this.#buckets) {
      if (Math.abs(other - key) < distance) {
        distance = Math.abs(other - key);
        nearest = bucket;
      }
    }
    if (nearest === undefined) return undefined;
    // A smaller input is not assumed to be faster: what a run costs apart from its elements is not known.
    return of(nearest) * Math.max(1, elements / nearest.elements);
  }
}

function bucketOf(elements: number): number {
  return Math.round(BUCKETS_PER_DOUBLING * Math.log2(Math.max(elements, 1)));
}

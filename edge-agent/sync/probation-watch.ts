// Counts what this device sees of each version that answers, so that probation can compare the new with the old. Kept per
// variant digest, in memory: after a restart probation begins anew, and so do its counts.
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { AnswerObserver, FinishedRequest } from '../telemetry/answer-observer.js';
import { NOTHING_OBSERVED, type ObservedVersion } from './probation.js';

/** Versions counted at once; the one least recently begun goes first. */
const LIMIT_VERSIONS = 1024;
/** Counts are halved there, so that what is compared is recent. */
const LIMIT_REQUESTS = 10_000;

export class ProbationWatch implements AnswerObserver {
  readonly #seen = new Map<Digest, ObservedVersion>();

  finished({ variantDigest, outcome, totalMs }: FinishedRequest): void {
    if (outcome !== 'edge' && outcome !== 'model-error') return;
    let seen = this.#seen.get(variantDigest) ?? NOTHING_OBSERVED;
    if (seen.requests >= LIMIT_REQUESTS) {
      seen = { ...seen, requests: seen.requests / 2, errors: seen.errors / 2, latencySumMs: seen.latencySumMs / 2 };
    }
    const failed = outcome === 'model-error';
    this.#seen.set(variantDigest, {
      ...seen,
      requests: seen.requests + 1,
      errors: seen.errors + (failed ? 1 : 0),
      latencySumMs: seen.latencySumMs + (failed ? 0 : totalMs),
    });
    const oldest = this.#seen.keys().next();
    if (this.#seen.size > LIMIT_VERSIONS && oldest.value !== undefined) this.#seen.delete(oldest.value);
  }

  /** What was seen of a version; undefined where nothing was. */
  of(variantDigest: Digest): ObservedVersion | undefined {
    return this.#seen.get(variantDigest);
  }

  /** Forgets a version, when its probation begins. */
  reset(variantDigest: Digest): void {
    this.#seen.delete(variantDigest);
  }
}

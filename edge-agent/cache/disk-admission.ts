// Which answers are worth the wear of a write: pure. Those that were asked for at least twice, and those that were slow to
// compute; never more bytes than the disk was promised. Most answers of a camera are asked for once: they stay in memory.
import { RecentKeys } from '@tidegate/shared/cache/recent-keys.js';

/** From here on an answer is kept on its first asking: as long as a person waits. */
const SLOW_US = 500_000;
const LIMIT_ASKED_ONCE = 4096;
const DAY_MS = 86_400_000;
/** Bytes that may be written in a day, in times the layer's limit; and at once. */
const REWRITES_PER_DAY = 4;
const BURST_SHARE = 1 / 2;

export class DiskAdmission {
  readonly #limitBytes: number;
  readonly #askedOnce = new RecentKeys(LIMIT_ASKED_ONCE);
  #allowanceBytes: number;
  #allowanceAtMs: number;

  constructor(options: { readonly limitBytes: number; readonly nowMs: number }) {
    this.#limitBytes = options.limitBytes;
    this.#allowanceBytes = options.limitBytes * BURST_SHARE;
    this.#allowanceAtMs = options.nowMs;
  }

  /** An answer was computed: is it to be written now? */
  computed(key: string, computeUs: number): boolean {
    if (computeUs >= SLOW_US || this.#askedOnce.delete(key)) return true;
    this.#askedOnce.add(key);
    return false;
  }

  /** Takes the bytes from what may be written; false where that is used up. `nowMs` is monotonic. */
  mayWrite(sizeBytes: number, nowMs: number): boolean {
    const earned = ((nowMs - this.#allowanceAtMs) / DAY_MS) * REWRITES_PER_DAY * this.#limitBytes;
    this.#allowanceBytes = Math.min(this.#limitBytes * BURST_SHARE, this.#allowanceBytes + earned);
    this.#allowanceAtMs = nowMs;
    if (this.#allowanceBytes < sizeBytes) return false;
    this.#allowanceBytes -= sizeBytes;
    return true;
  }
}

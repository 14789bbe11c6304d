// How often something is used, the recent past counting most: each use counts one and fades with time. A use of two minutes ago
// counts a third of one now, so a model that was busy this morning doesn't look busy this evening.

const FADES_WITHIN_MS = 120_000;

export class UseRate {
  #count = 0;
  #atMs = 0;

  note(nowMs: number): void {
    this.#count = this.#faded(nowMs) + 1;
    this.#atMs = nowMs;
  }

  /** Uses a second; after steady use for some minutes, that rate. */
  perSecond(nowMs: number): number {
    return (this.#faded(nowMs) * 1000) / FADES_WITHIN_MS;
  }

  #faded(nowMs: number): number {
    return this.#count * Math.exp((this.#atMs - nowMs) / FADES_WITHIN_MS);
  }
}

// Why the last requests went where they went: a bounded ring in memory, read by `/agent/v1/explain`. Holds names, times and
// reasons, never inputs or outputs.

export interface Explanation {
  /** The request's id, or one that the agent gave (`#17`). */
  readonly id: string;
  readonly model: string;
  readonly version: string | undefined;
  /** Wall time of acceptance, for people. */
  readonly acceptedAtMs: number;
  readonly totalMs: number;
  readonly result: string;
  /** Of its trace; absent where it is not traced. */
  readonly traceId?: string;
  /** What the time went to, in milliseconds; the rest is steps before and after graphs, and the way between processes. */
  readonly spent: {
    /** Longest wait for an executor. */
    readonly queueMs: number;
    /** Inside the engine, over all runs that it took part in. */
    readonly runMs: number;
    readonly hubMs: number;
  };
  /** Each decision with the milliseconds since acceptance. */
  readonly steps: readonly { readonly afterMs: number; readonly what: string }[];
}

export const LIMIT_EXPLANATIONS = 1000;

export class Explanations {
  /** In order of arrival; a repeated id keeps its newest. */
  readonly #byId = new Map<string, Explanation>();
  #unnamed = 0;

  /** An id for a request that has none. */
  nextId(): string {
    this.#unnamed += 1;
    return `#${this.#unnamed}`;
  }

  add(explanation: Explanation): void {
    this.#byId.delete(explanation.id);
    this.#byId.set(explanation.id, explanation);
    if (this.#byId.size <= LIMIT_EXPLANATIONS) return;
    const oldest = this.#byId.keys().next();
    if (!oldest.done) this.#byId.delete(oldest.value);
  }

  get(id: string): Explanation | undefined {
    return this.#byId.get(id);
  }

  /** The newest first. */
  latest(count: number): readonly Explanation[] {
    return [...this.#byId.values()].slice(-count).reverse();
  }
}

// Why sequences ended that their callers had not ended, so that the next request hears it instead of "unknown". It outlives the
// version that held them. The oldest reasons are forgotten first.
const LIMIT_REASONS = 1024;

export class EndedSequences {
  readonly #reasons = new Map<string, string>();

  why(model: string, sequence: string): string | undefined {
    return this.#reasons.get(keyOf(model, sequence));
  }

  note(model: string, sequence: string, why: string): void {
    this.forget(model, sequence);
    this.#reasons.set(keyOf(model, sequence), why);
    for (const oldest of this.#reasons.keys()) {
      if (this.#reasons.size <= LIMIT_REASONS) break;
      this.#reasons.delete(oldest);
    }
  }

  forget(model: string, sequence: string): void {
    this.#reasons.delete(keyOf(model, sequence));
  }
}

/** Names of models have no spaces. */
function keyOf(model: string, sequence: string): string {
  return `${model} ${sequence}`;
}

// Tells as an event when the hub's breaker opens or closes: looked at after each finished request, because only requests move
// it. Between two looks it may have opened and closed again; what lasts is seen.
import type { AnswerObserver } from './answer-observer.js';

export class BreakerWatch implements AnswerObserver {
  readonly #phase: () => { readonly phase: 'closed' | 'open'; readonly lastError: string | undefined } | undefined;
  readonly #event: (kind: string, detail: string) => void;
  #seen: 'closed' | 'open' = 'closed';

  /** `phase` is undefined where there is no hub. */
  constructor(
    phase: () => { readonly phase: 'closed' | 'open'; readonly lastError: string | undefined } | undefined,
    event: (kind: string, detail: string) => void,
  ) {
    this.#phase = phase;
    this.#event = event;
  }

  finished(): void {
    const now = this.#phase();
    if (now === undefined || now.phase === this.#seen) return;
    this.#seen = now.phase;
    if (now.phase === 'open') this.#event('hub-breaker-opened', now.lastError ?? 'the hub does not answer');
    else this.#event('hub-breaker-closed', 'the hub answers again');
  }
}

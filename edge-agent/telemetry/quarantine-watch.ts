// Tells as an event when a model is put into quarantine or comes out of it: looked at after each finished request for it, because
// only requests find its executors dead. What an executor said before it died stays on the device: it may speak of inputs.
import type { AnswerObserver, FinishedRequest } from './answer-observer.js';

export class QuarantineWatch implements AnswerObserver {
  readonly #isHeld: (model: string) => boolean;
  readonly #event: (kind: string, detail: string) => void;
  /** Models that were in quarantine when last looked at. */
  readonly #seen = new Set<string>();

  constructor(isHeld: (model: string) => boolean, event: (kind: string, detail: string) => void) {
    this.#isHeld = isHeld;
    this.#event = event;
  }

  finished({ model }: Pick<FinishedRequest, 'model'>): void {
    const held = this.#isHeld(model);
    if (held === this.#seen.has(model)) return;
    if (held) {
      this.#seen.add(model);
      this.#event('quarantined', `${model}: its executors ended too often; it answers nothing on this device`);
    } else {
      this.#seen.delete(model);
      this.#event('quarantine-ended', `${model} answers on this device again`);
    }
  }
}

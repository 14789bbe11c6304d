// What changed on the hub, as it happens: domains emit after their transaction, the live channel passes it on. An event holds the
// whole changed object, so a lost one does no harm; a listener that throws harms neither the emitter nor the other listeners.
import type { LiveEvent } from '@tidegate/shared/wire/admin-api.js';
import type { Log } from '@tidegate/shared/system/log.js';

export class HubEvents {
  readonly #listeners = new Set<(event: LiveEvent) => void>();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  emit(event: LiveEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (cause) {
        this.#log.error({ err: cause, kind: event.kind }, 'a listener of hub events failed');
      }
    }
  }

  /** Returns what ends the subscription. */
  on(listener: (event: LiveEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

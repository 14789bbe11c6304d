// When memory is looked at: every 5 seconds while requests come, and for as long as more is in use than is allowed. An idle server
// within its budget doesn't look.
import type { Clock } from '../system/clock.js';

const LOOK_INTERVAL_MS = 5000;

interface MemoryWatchModules {
  readonly clock: Clock;
  /** True has it looked again although nobody asks. */
  readonly look: () => Promise<boolean>;
}

export class MemoryWatch {
  readonly #modules: MemoryWatchModules;
  #cancel: (() => void) | undefined;
  #asked = false;
  #closed = false;

  constructor(modules: MemoryWatchModules) {
    this.#modules = modules;
  }

  /** A request came. */
  asked(): void {
    this.#asked = true;
    if (this.#cancel === undefined) this.#lookLater();
  }

  close(): void {
    this.#closed = true;
    this.#cancel?.();
  }

  #lookLater(): void {
    if (this.#closed) return;
    this.#asked = false;
    this.#cancel = this.#modules.clock.after(LOOK_INTERVAL_MS, () => void this.#look());
  }

  async #look(): Promise<void> {
    const again = await this.#modules.look();
    this.#cancel = undefined;
    if (this.#asked || again) this.#lookLater();
  }
}

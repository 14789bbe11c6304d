// The orderly end: what was opened is closed in the reverse order, and one part that fails doesn't keep the others open.
import type { Log } from '@tidegate/shared/system/log.js';

export class Closing {
  readonly #log: Log;
  readonly #steps: { readonly name: string; readonly close: () => Promise<unknown> | void }[] = [];

  #running: Promise<void> | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  add(name: string, close: () => Promise<unknown> | void): void {
    this.#steps.push({ name, close });
  }

  /** Called again, it waits for the same end. */
  run(): Promise<void> {
    this.#running ??= this.#run();
    return this.#running;
  }

  async #run(): Promise<void> {
    for (const { name, close } of this.#steps.splice(0).reverse()) {
      try {
        await close();
      } catch (cause) {
        this.#log.error({ err: cause, part: name }, 'a part of the hub could not be closed');
      }
    }
  }
}

// How many runs compute at once in this executor, and the order of the others: first come, first served. A few more than
// compute are handed to the engine already, `primed`: they queue at its threads, so that a thread which ends one run begins the
// next without waiting for this process's event loop. The rest wait here, parsed and in memory. The parent bounds how many
// (executor-process.ts).
//
// The engine has exactly as many threads as there are slots (UV_THREADPOOL_SIZE), so a primed run begins when a run before it ends.
import { RuntimeError } from '../runtime-error.js';

interface Entered {
  /** When a thread took it up; undefined while it is primed. */
  startedMs: number | undefined;
}

interface Waiting {
  readonly enter: () => void;
}

export class RunSlots {
  readonly #slots: number;
  readonly #primed: number;
  /** With the engine, in the order of entry. */
  readonly #entered = new Set<Entered>();
  readonly #waiting: Waiting[] = [];
  readonly #controllers = new Map<number, AbortController>();
  #idle: (() => void)[] = [];

  /** `primed` is 0 where the engine does not queue runs by itself. */
  constructor(slots: number, primed: number) {
    this.#slots = slots;
    this.#primed = primed;
  }

  /** Runs `task` when its turn comes; `computeUs` counts from when it began. Rejects `cancelled` after `cancel(id)`. */
  async run<T>(id: number, task: (signal: AbortSignal) => Promise<T>): Promise<{ result: T; computeUs: number }> {
    const controller = new AbortController();
    this.#controllers.set(id, controller);
    try {
      if (this.#entered.size >= this.#slots + this.#primed) await this.#turn(controller.signal);
      const entered: Entered = { startedMs: this.#entered.size < this.#slots ? performance.now() : undefined };
      this.#entered.add(entered);
      try {
        const result = await task(controller.signal);
        const startedMs = entered.startedMs ?? performance.now();
        return { result, computeUs: Math.round((performance.now() - startedMs) * 1000) };
      } finally {
        this.#leave(entered);
      }
    } finally {
      this.#controllers.delete(id);
      if (this.#controllers.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  /** Ends a run where the engine can, or keeps it from starting. Unknown ids have ended already. */
  cancel(id: number): void {
    this.#controllers.get(id)?.abort();
  }

  /** Resolves when nothing runs or waits. */
  idle(): Promise<void> {
    if (this.#controllers.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { enter: resolve };
      this.#waiting.push(waiting);
      const onAbort = (): void => {
        const at = this.#waiting.indexOf(waiting);
        if (at < 0) return;
        this.#waiting.splice(at, 1);
        reject(new RuntimeError('cancelled', 'cancelled before it began'));
      };
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  #leave(entered: Entered): void {
    this.#entered.delete(entered);
    let computing = 0;
    for (const other of this.#entered) {
      if (computing++ === this.#slots) break;
      other.startedMs ??= performance.now();
    }
    this.#waiting.shift()?.enter();
  }
}

// How many runs compute at once in this executor, and the order of the others: first come, first served. A run that waits here
// is already parsed and in memory, so a slot that frees begins the next one without a trip to the parent. The parent bounds
// how many wait (executor-process.ts).
import { RuntimeError } from '../runtime-error.js';

interface Waiting {
  readonly start: () => void;
  readonly controller: AbortController;
}

export class RunSlots {
  #free: number;
  readonly #waiting: Waiting[] = [];
  readonly #controllers = new Map<number, AbortController>();
  #idle: (() => void)[] = [];

  constructor(slots: number) {
    this.#free = slots;
  }

  /** Runs `task` when its turn comes; `computeUs` counts from there. Rejects with RuntimeError `cancelled` after `cancel(id)`. */
  async run<T>(id: number, task: (signal: AbortSignal) => Promise<T>): Promise<{ result: T; computeUs: number }> {
    const controller = new AbortController();
    this.#controllers.set(id, controller);
    try {
      await this.#enter(controller);
      try {
        const startedMs = performance.now();
        const result = await task(controller.signal);
        return { result, computeUs: Math.round((performance.now() - startedMs) * 1000) };
      } finally {
        this.#leave();
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

  #enter(controller: AbortController): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { start: resolve, controller };
      this.#waiting.push(waiting);
      controller.signal.addEventListener(
        'abort',
        () => {
          const at = this.#waiting.indexOf(waiting);
          if (at < 0) return;
          this.#waiting.splice(at, 1);
          reject(new RuntimeError('cancelled', 'cancelled before it began'));
        },
        { once: true },
      );
    });
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next.start();
  }
}

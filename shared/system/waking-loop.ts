// Work that is done again and again as long as a component lives: sending what waits, asking what is new. One turn at a time;
// after it the loop rests for as long as the turn said, or until it is woken; after a turn that failed it rests for a jittered
// and growing time, which waking does not shorten: a hub that does not answer must not be hurried by new work.
import { fullJitterMs, type BackoffPolicy } from './backoff.js';
import { delay, type Clock } from './clock.js';
import type { Random } from './random.js';

interface WakingLoopOptions {
  /** Does what there is to do, until the signal ends it. Resolves with the milliseconds for which there is nothing more. */
  readonly turn: (signal: AbortSignal) => Promise<number>;
  /** A turn rejected, and the next begins after `waitMs`. Not called for what stopping ended. */
  readonly failed: (cause: Error, waitMs: number) => void;
  readonly backoff: BackoffPolicy;
  /** For how long whoever refused asked to be left alone: the pause is that longer, up to the backoff's maximum. */
  readonly retryAfterMs?: (cause: Error) => number | undefined;
}

export class WakingLoop {
  readonly #options: WakingLoopOptions;
  readonly #modules: { readonly clock: Clock; readonly random: Random };
  readonly #stop = new AbortController();
  #rest = new AbortController();
  #pause = new AbortController();
  /** In a row; says how long the next pause may be. */
  #failures = 0;
  #running: Promise<void> = Promise.resolve();

  constructor(options: WakingLoopOptions, modules: { readonly clock: Clock; readonly random: Random }) {
    this.#options = options;
    this.#modules = modules;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Aborts the turn under way and resolves when it has ended. It doesn't start again. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#pause.abort();
    this.#rest.abort();
    await this.#running;
  }

  /** There is something to do: a rest ends, and a turn under way is followed by another. */
  wake(): void {
    this.#rest.abort();
  }

  /** What failed may do now: a pause ends too, and failures begin to count anew. */
  retryNow(): void {
    this.forgetFailures();
    this.#pause.abort();
    this.#rest.abort();
  }

  /** There was progress, also where the turn then fails: the next pause is a short one. */
  forgetFailures(): void {
    this.#failures = 0;
  }

  async #run(): Promise<void> {
    const { clock } = this.#modules;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      this.#rest = new AbortController();
      this.#pause = new AbortController();
      const { waitMs, until } = await this.#turn(signal);
      await delay(clock, waitMs, until).catch(() => undefined); // woken or stopping: that is the point
    }
  }

  async #turn(signal: AbortSignal): Promise<{ readonly waitMs: number; readonly until: AbortSignal }> {
    const { turn, failed, backoff, retryAfterMs } = this.#options;
    try {
      return { waitMs: await turn(signal), until: this.#rest.signal };
    } catch (cause) {
      const jitterMs = fullJitterMs(this.#failures, backoff, this.#modules.random);
      const waitMs = Math.min(backoff.maxMs, (retryAfterMs?.(cause as Error) ?? 0) + jitterMs);
      this.#failures += 1;
      if (!signal.aborted) failed(cause as Error, waitMs);
      return { waitMs, until: this.#pause.signal };
    }
  }
}

// Pauses after failures, one lane apart from the others: loading a model, undoing it, taking it forward, collecting. In memory
// only: after a restart everything is tried again at once, while attempts stay counted in the state database.
import { fullJitterMs, type BackoffPolicy } from '@tidegate/shared/system/backoff.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Random } from '@tidegate/shared/system/random.js';
import type { Lane } from './plan.js';
import type { SyncError } from './sync-error.js';

export class Lanes {
  readonly #retry: BackoffPolicy;
  readonly #modules: { readonly clock: Clock; readonly random: Random };
  readonly #notBeforeMs = new Map<Lane, number>();
  readonly #failures = new Map<Lane, number>();
  readonly #troubles = new Map<Lane, SyncError>();

  constructor(retry: BackoffPolicy, modules: { readonly clock: Clock; readonly random: Random }) {
    this.#retry = retry;
    this.#modules = modules;
  }

  /** Monotonic times before which a lane waits. */
  get notBeforeMs(): ReadonlyMap<Lane, number> {
    return this.#notBeforeMs;
  }

  trouble(lane: Lane): SyncError | undefined {
    return this.#troubles.get(lane);
  }

  /** A passing trouble: again after a pause that grows with each. */
  troubled(lane: Lane, error: SyncError): void {
    const failures = this.#failures.get(lane) ?? 0;
    this.#failures.set(lane, failures + 1);
    this.#troubles.set(lane, error);
    this.pause(lane, fullJitterMs(failures, this.#retry, this.#modules.random));
  }

  pause(lane: Lane, pauseMs: number): void {
    this.#notBeforeMs.set(lane, this.#modules.clock.monotonicMs() + pauseMs);
  }

  settle(lane: Lane): void {
    this.#failures.delete(lane);
    this.#troubles.delete(lane);
    this.#notBeforeMs.delete(lane);
  }

  /** What waited for the old wish need not wait with a new one (B15). */
  settleAll(): void {
    this.#failures.clear();
    this.#troubles.clear();
    this.#notBeforeMs.clear();
  }
}

// Sends what waits to the hub, one sample at a time, low confidence before random share, the oldest first. A sample is deleted when
// the hub has it, or says that it never takes it; everything else is tried again after a pause, which a hub that is busy may lengthen (Retry-After). The policy is asked right before
// each sample goes, and whenever something new is desired: one that has become stricter deletes what was kept.
import type { BackoffPolicy } from '@tidegate/shared/system/backoff.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { Random } from '@tidegate/shared/system/random.js';
import { WakingLoop } from '@tidegate/shared/system/waking-loop.js';
import { hexOf } from '@tidegate/shared/wire/digest.js';
import { DeviceApiError, retryAfterMsOf } from '../sync/device-api.js';
import type { CaptureCounts } from './capture-counts.js';
import type { CaptureStore, WaitingSample } from './capture-store.js';

/** `unknown`: nothing is known of the model, as long as the device has not heard what it should run. */
export type CapturePermission = 'allowed' | 'forbidden' | 'unknown';

interface CaptureSenderModules {
  readonly store: CaptureStore;
  readonly counts: CaptureCounts;
  /** Resolves when the hub has the sample; rejects with DeviceApiError. */
  readonly send: (hex: string, body: Uint8Array, signal: AbortSignal) => Promise<void>;
  readonly permission: (model: string) => CapturePermission;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const DEFAULT_BACKOFF: BackoffPolicy = { baseMs: 1000, maxMs: 300_000 };
/** Woken by captures and by the link; else it looks now and then. */
const IDLE_MS = 60_000;
/** Of these statuses the hub won't think better: not readable, too large, nonsense. */
const FINAL_STATUSES: ReadonlySet<number | undefined> = new Set([400, 413, 422]);

export class CaptureSender {
  readonly #m: CaptureSenderModules;
  readonly #loop: WakingLoop;

  constructor(modules: CaptureSenderModules, backoff: BackoffPolicy = DEFAULT_BACKOFF) {
    this.#m = modules;
    const failed = ({ message: error }: Error, waitMs: number): void =>
      modules.log.debug({ error, waitMs }, 'captured samples could not be sent');
    this.#loop = new WakingLoop(
      { turn: (signal) => this.#sendAll(signal), failed, backoff, retryAfterMs: retryAfterMsOf },
      modules,
    );
  }

  start(): void {
    this.#loop.start();
  }

  /** What is on its way is given up, and sent again after the next start. */
  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** There is something new to send. Does not shorten the pause after a failure. */
  wake(): void {
    this.#loop.wake();
  }

  /** The hub was heard: it may be reachable, and may desire something else. */
  hubHeard(): void {
    this.#loop.retryNow();
  }

  async #sendAll(signal: AbortSignal): Promise<number> {
    const { store, permission } = this.#m;
    for (;;) {
      signal.throwIfAborted();
      const sample = store.next(await this.#allowedModels());
      if (sample === undefined) return IDLE_MS;
      const body = await store.read(sample.id);
      if (body === undefined || permission(sample.model) !== 'allowed') continue;
      await this.#sendOne(sample, body, signal);
    }
  }

  async #sendOne({ id, model }: WaitingSample, body: Uint8Array, signal: AbortSignal): Promise<void> {
    const { store, counts, send, log } = this.#m;
    try {
      await send(hexOf(id), body, signal);
      counts.sent();
    } catch (cause) {
      if (!(cause instanceof DeviceApiError) || !isFinal(cause)) throw cause;
      counts.dropped('refused');
      log.warn({ id, model, status: cause.status, error: cause.message }, 'the hub does not take a captured sample');
    }
    this.#loop.forgetFailures();
    await store.remove(id);
  }

  /** Deletes what is there of models that allow it no more. */
  async #allowedModels(): Promise<ReadonlySet<string>> {
    const { store, counts, permission, log } = this.#m;
    const allowed = new Set<string>();
    for (const model of store.models()) {
      const found = permission(model);
      if (found === 'allowed') allowed.add(model);
      if (found !== 'forbidden') continue;
      const count = await store.removeModel(model);
      counts.dropped('policy', count);
      log.info({ model, count }, 'captured samples deleted: their model allows no capture any more');
    }
    return allowed;
  }
}

/** Of the 403s only the one that is of the sample: a certificate that has expired is renewed, a device may be let in again. */
function isFinal({ status, hubCode }: DeviceApiError): boolean {
  return FINAL_STATUSES.has(status) || (status === 403 && hubCode === 'forbidden');
}

// Asks the hub what is desired: at once after a start, on every hint and every reconnect, and at an interval in any case. The
// interval is long while MQTT is connected (a hint comes by itself; an idle device costs next to nothing, field lesson B8)
// and short while it isn't. Times are jittered; failures back off.
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { Random } from '@tidegate/shared/system/random.js';
import { WakingLoop } from '@tidegate/shared/system/waking-loop.js';
import type { DesiredState } from '@tidegate/shared/wire/desired-state.js';
import { retryAfterMsOf, type DeviceApi } from './device-api.js';

interface DesiredPollerOptions {
  readonly connectedIntervalMs: number;
  readonly disconnectedIntervalMs: number;
}

const DEFAULT_POLLING: DesiredPollerOptions = { connectedIntervalMs: 900_000, disconnectedIntervalMs: 30_000 };
const BACKOFF_BASE_MS = 2000;

interface DesiredPollerModules {
  readonly api: Pick<DeviceApi, 'desired'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly mqttConnected: () => boolean;
  readonly accept: (desired: DesiredState) => 'taken' | 'old' | 'foreign';
}

export class DesiredPoller {
  readonly #options: DesiredPollerOptions;
  readonly #modules: DesiredPollerModules;
  readonly #loop: WakingLoop;
  #etag: string | undefined;
  #lastError: string | undefined;

  constructor(modules: DesiredPollerModules, options: DesiredPollerOptions = DEFAULT_POLLING) {
    this.#modules = modules;
    this.#options = options;
    const failed = ({ message }: Error): void => {
      this.#lastError = message;
      modules.log.debug({ error: message }, 'the hub could not be asked');
    };
    const backoff = { baseMs: BACKOFF_BASE_MS, maxMs: options.disconnectedIntervalMs };
    this.#loop = new WakingLoop(
      { turn: (signal) => this.#ask(signal), failed, backoff, retryAfterMs: retryAfterMsOf },
      modules,
    );
  }

  /** Why the hub could not be asked last time; undefined when it answered. */
  get lastError(): string | undefined {
    return this.#lastError;
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** Something has happened: ask now, or once more where a question is under way. */
  hint(): void {
    this.#loop.retryNow();
  }

  async #ask(signal: AbortSignal): Promise<number> {
    const { api, accept, log } = this.#modules;
    const answer = await api.desired(this.#etag, signal);
    this.#loop.forgetFailures();
    this.#lastError = undefined;
    if (answer.kind === 'document') {
      const outcome = accept(answer.desired);
      log.info({ version: answer.desired.version, outcome }, 'desired state received');
      if (outcome !== 'foreign') this.#etag = answer.etag;
    }
    return this.#intervalMs();
  }

  #intervalMs(): number {
    const { random, mqttConnected } = this.#modules;
    const { connectedIntervalMs, disconnectedIntervalMs } = this.#options;
    const intervalMs = mqttConnected() ? connectedIntervalMs : disconnectedIntervalMs;
    return intervalMs * (0.8 + 0.4 * random.next());
  }
}

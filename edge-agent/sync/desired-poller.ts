// Asks the hub what is desired: at once after a start, on every hint and every reconnect, and at an interval in any case. The
// interval is long while MQTT is connected (a hint comes by itself; an idle device costs next to nothing, field lesson B8)
// and short while it isn't. Times are jittered; failures back off.
import { fullJitterMs } from '@tidegate/shared/system/backoff.js';
import { delay, type Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { Random } from '@tidegate/shared/system/random.js';
import type { DesiredState } from '@tidegate/shared/wire/desired-state.js';
import type { DeviceApi } from './device-api.js';

interface DesiredPollerOptions {
  readonly connectedIntervalMs: number;
  readonly disconnectedIntervalMs: number;
}

const DEFAULT_POLLING: DesiredPollerOptions = { connectedIntervalMs: 900_000, disconnectedIntervalMs: 30_000 };

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
  readonly #stop = new AbortController();
  #wake = new AbortController();
  #etag: string | undefined;
  #failures = 0;
  #lastError: string | undefined;
  #loop: Promise<void> = Promise.resolve();

  constructor(modules: DesiredPollerModules, options: DesiredPollerOptions = DEFAULT_POLLING) {
    this.#modules = modules;
    this.#options = options;
  }

  /** Why the hub could not be asked last time; undefined when it answered. */
  get lastError(): string | undefined {
    return this.#lastError;
  }

  start(): void {
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#wake.abort();
    await this.#loop;
  }

  /** Something has happened: ask now. */
  hint(): void {
    this.#failures = 0;
    this.#wake.abort();
  }

  async #run(): Promise<void> {
    const { clock } = this.#modules;
    while (!this.#stop.signal.aborted) {
      this.#wake = new AbortController(); // a hint during the question asks once more
      await this.#ask();
      if (this.#stop.signal.aborted) return;
      await delay(clock, this.#waitMs(), this.#wake.signal).catch(() => undefined); // hinted: that is the point
    }
  }

  #waitMs(): number {
    const { random, mqttConnected } = this.#modules;
    const { connectedIntervalMs, disconnectedIntervalMs } = this.#options;
    if (this.#failures > 0) {
      return fullJitterMs(this.#failures, { baseMs: 1000, maxMs: disconnectedIntervalMs }, random);
    }
    const intervalMs = mqttConnected() ? connectedIntervalMs : disconnectedIntervalMs;
    return intervalMs * (0.8 + 0.4 * random.next());
  }

  async #ask(): Promise<void> {
    const { api, accept, log } = this.#modules;
    try {
      const answer = await api.desired(this.#etag, this.#stop.signal);
      this.#failures = 0;
      this.#lastError = undefined;
      if (answer.kind === 'document') {
        const outcome = accept(answer.desired);
        log.info({ version: answer.desired.version, outcome }, 'desired state received');
        if (outcome !== 'foreign') this.#etag = answer.etag;
      }
    } catch (cause) {
      if (this.#stop.signal.aborted) return;
      this.#failures += 1;
      this.#lastError = (cause as Error).message;
      log.debug({ error: this.#lastError }, 'the hub could not be asked');
    }
  }
}

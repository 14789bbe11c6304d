// Empties the outbox towards the hub. Over MQTT (QoS 1) a record goes when the hub's own acknowledgement of its number comes
// back, not when the broker took it; without MQTT it goes by HTTPS, whose answer is the acknowledgement. Unacknowledged
// records are sent again with backoff; the hub ignores a number that it has, so twice is once.
import { fullJitterMs, type BackoffPolicy } from '@tidegate/shared/system/backoff.js';
import { delay, type Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { Random } from '@tidegate/shared/system/random.js';
import type { TelemetryRecord } from '@tidegate/shared/wire/telemetry.js';
import type { Outbox } from './outbox.js';

/** Ways to the hub, as the sender sees them. */
interface TelemetryRoutes {
  /** False while MQTT is away. */
  readonly mqttConnected: boolean;
  /** Rejects when the broker did not take it. */
  publish(record: TelemetryRecord, signal: AbortSignal): Promise<void>;
  /** Resolves when the hub has it; rejects with what `refused` says true for when it never will. */
  post(record: TelemetryRecord, signal: AbortSignal): Promise<void>;
  /** True when this error means that the hub will never take the record. */
  refused(cause: unknown): boolean;
}

interface TelemetrySenderOptions {
  /** Sent and not yet acknowledged at once. */
  readonly inFlightMax: number;
  /** How long an acknowledgement over MQTT may take before the record goes out again. */
  readonly ackTimeoutMs: number;
  readonly backoff: BackoffPolicy;
}

const DEFAULT_SENDER: TelemetrySenderOptions = {
  inFlightMax: 16,
  ackTimeoutMs: 10_000,
  backoff: { baseMs: 1000, maxMs: 60_000 },
};

export class TelemetrySender {
  readonly #options: TelemetrySenderOptions;
  readonly #modules: { outbox: Outbox; routes: TelemetryRoutes; clock: Clock; random: Random; log: Log };
  readonly #stop = new AbortController();
  /** Monotonic time of sending, by number. */
  readonly #inFlight = new Map<number, number>();
  #failures = 0;
  #wake = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  constructor(
    modules: { outbox: Outbox; routes: TelemetryRoutes; clock: Clock; random: Random; log: Log },
    options: TelemetrySenderOptions = DEFAULT_SENDER,
  ) {
    this.#modules = modules;
    this.#options = options;
  }

  start(): void {
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#wake.abort();
    await this.#loop;
  }

  /** There may be something to send, or a way to send it. */
  wake(): void {
    this.#wake.abort();
  }

  /** The link came up or went down: what was on its way may be lost. */
  linkChanged(): void {
    this.#inFlight.clear();
    this.#failures = 0;
    this.wake();
  }

  /** The hub has this record. */
  acknowledged(seq: number): void {
    this.#inFlight.delete(seq);
    this.#failures = 0;
    try {
      this.#modules.outbox.acknowledge(seq);
    } catch (cause) {
      this.#modules.log.warn(
        { seq, error: (cause as Error).message },
        'an acknowledged record stays: it will go twice',
      );
    }
    this.wake();
  }

  async #run(): Promise<void> {
    const { clock, log, random } = this.#modules;
    while (!this.#stop.signal.aborted) {
      this.#wake = new AbortController();
      let waitMs = 60_000;
      try {
        waitMs = await this.#sendDue();
      } catch (cause) {
        if (this.#stop.signal.aborted) return;
        waitMs = fullJitterMs(this.#failures, this.#options.backoff, random);
        this.#failures += 1;
        log.debug({ error: (cause as Error).message, waitMs }, 'telemetry could not be sent');
        // A failure waits in full: new records must not hurry a hub that does not answer.
        await delay(clock, waitMs, this.#stop.signal).catch(() => undefined); // stopping ends the wait
        continue;
      }
      await delay(clock, waitMs, this.#wake.signal).catch(() => undefined); // woken early: that is the point
    }
  }

  /** Sends what may go out now; returns how long there is nothing more to do. */
  async #sendDue(): Promise<number> {
    const { outbox, clock, routes } = this.#modules;
    this.#expire();
    let afterSeq = -1;
    while (this.#inFlight.size < this.#options.inFlightMax) {
      const records = outbox.next(afterSeq, this.#options.inFlightMax);
      if (records.length === 0) break;
      for (const record of records) {
        afterSeq = record.seq;
        if (this.#inFlight.has(record.seq)) continue;
        if (this.#inFlight.size >= this.#options.inFlightMax) break;
        if (routes.mqttConnected) await this.#publish(record);
        else await this.#post(record);
      }
    }
    const oldest = Math.min(...this.#inFlight.values());
    return Number.isFinite(oldest) ? Math.max(1, oldest + this.#options.ackTimeoutMs - clock.monotonicMs()) : 60_000;
  }

  async #publish(record: TelemetryRecord): Promise<void> {
    // In flight before the broker has it: the hub's acknowledgement may come before the broker's.
    this.#inFlight.set(record.seq, this.#modules.clock.monotonicMs());
    try {
      await this.#modules.routes.publish(record, this.#stop.signal);
    } catch (cause) {
      this.#inFlight.delete(record.seq);
      throw cause;
    }
  }

  async #post(record: TelemetryRecord): Promise<void> {
    try {
      await this.#modules.routes.post(record, this.#stop.signal);
    } catch (cause) {
      if (!this.#modules.routes.refused(cause)) throw cause;
      this.#modules.log.error(
        { seq: record.seq, error: (cause as Error).message },
        'the hub refuses a telemetry record',
      );
    }
    this.acknowledged(record.seq);
  }

  /** What was not acknowledged in time counts as not sent. */
  #expire(): void {
    const nowMs = this.#modules.clock.monotonicMs();
    for (const [seq, sentMs] of this.#inFlight) {
      if (nowMs - sentMs >= this.#options.ackTimeoutMs) this.#inFlight.delete(seq);
    }
  }
}

// Empties the outbox towards the hub. Over MQTT (QoS 1) a record goes when the hub's own acknowledgement of its number comes
// back, not when the broker took it; without MQTT it goes by HTTPS, whose answer is the acknowledgement. Unacknowledged
// records are sent again with backoff; the hub ignores a number that it has, so twice is once.
import type { BackoffPolicy } from '@tidegate/shared/system/backoff.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { Random } from '@tidegate/shared/system/random.js';
import { WakingLoop } from '@tidegate/shared/system/waking-loop.js';
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
/** Woken by records and by the link; else it looks now and then. */
const IDLE_MS = 60_000;

export class TelemetrySender {
  readonly #options: TelemetrySenderOptions;
  readonly #modules: { outbox: Outbox; routes: TelemetryRoutes; clock: Clock; random: Random; log: Log };
  /** Monotonic time of sending, by number. */
  readonly #inFlight = new Map<number, number>();
  readonly #loop: WakingLoop;

  constructor(
    modules: { outbox: Outbox; routes: TelemetryRoutes; clock: Clock; random: Random; log: Log },
    options: TelemetrySenderOptions = DEFAULT_SENDER,
  ) {
    this.#modules = modules;
    this.#options = options;
    const failed = ({ message: error }: Error, waitMs: number): void =>
      modules.log.debug({ error, waitMs }, 'telemetry could not be sent');
    const { backoff } = options;
    this.#loop = new WakingLoop({ turn: (signal) => this.#sendDue(signal), failed, backoff }, modules);
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** There may be something to send, or a way to send it. */
  wake(): void {
    this.#loop.wake();
  }

  /** The link came up or went down: what was on its way may be lost. */
  linkChanged(): void {
    this.#inFlight.clear();
    this.#loop.forgetFailures();
    this.wake();
  }

  /** The hub has this record. */
  acknowledged(seq: number): void {
    this.#inFlight.delete(seq);
    this.#loop.forgetFailures();
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

  /** Sends what may go out now; returns how long there is nothing more to do. */
  async #sendDue(signal: AbortSignal): Promise<number> {
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
        if (routes.mqttConnected) await this.#publish(record, signal);
        else await this.#post(record, signal);
      }
    }
    const oldest = Math.min(...this.#inFlight.values());
    return Number.isFinite(oldest) ? Math.max(1, oldest + this.#options.ackTimeoutMs - clock.monotonicMs()) : IDLE_MS;
  }

  async #publish(record: TelemetryRecord, signal: AbortSignal): Promise<void> {
    // In flight before the broker has it: the hub's acknowledgement may come before the broker's.
    this.#inFlight.set(record.seq, this.#modules.clock.monotonicMs());
    try {
      await this.#modules.routes.publish(record, signal);
    } catch (cause) {
      this.#inFlight.delete(record.seq);
      throw cause;
    }
  }

  async #post(record: TelemetryRecord, signal: AbortSignal): Promise<void> {
    try {
      await this.#modules.routes.post(record, signal);
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

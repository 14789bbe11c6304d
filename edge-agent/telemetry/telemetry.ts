// What this device tells about itself: windows of evidence and events, put into the outbox at the interval that the hub
// desires. A window that can't be stored (a full disk) goes on growing in memory instead of being lost.
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { Privacy } from '@tidegate/shared/wire/privacy.js';
import type { TelemetryRecord } from '@tidegate/shared/wire/telemetry.js';
import type { AnswerObserver, FinishedRequest } from './answer-observer.js';
import { EvidenceWindow } from './evidence.js';
import type { Outbox } from './outbox.js';

/** The wire's own limit; further events are counted in one more. */
const LIMIT_EVENTS = 99;

interface TelemetryOptions {
  readonly deviceId: string;
  /** Asked anew for each window: the hub may change it. */
  readonly intervalMs: () => number;
}

interface TelemetryModules {
  readonly outbox: Outbox;
  /** May figures of this model's answers leave the device? `answered`: policy of the version that answered. */
  readonly mayLeave: (model: string, answered: Privacy | undefined) => boolean;
  readonly clock: Clock;
  readonly log: Log;
  /** Called when there is something to send. */
  readonly stored: () => void;
}

export class Telemetry implements AnswerObserver {
  readonly #options: TelemetryOptions;
  readonly #modules: TelemetryModules;
  readonly #window = new EvidenceWindow();
  #events: TelemetryRecord['events'] = [];
  #surplusEvents = 0;
  #started = false;
  #fromMs: number;
  #droppedToldOf: number;
  #cancel: () => void = () => undefined;

  constructor(options: TelemetryOptions, modules: TelemetryModules) {
    this.#options = options;
    this.#modules = modules;
    this.#fromMs = modules.clock.nowMs();
    this.#droppedToldOf = modules.outbox.droppedCount;
  }

  start(): void {
    this.#started = true;
    this.#arm();
  }

  /** Stores what there is. */
  stop(): void {
    this.#started = false;
    this.#cancel();
    this.flush();
  }

  finished(request: FinishedRequest): void {
    if (this.#modules.mayLeave(request.model, request.privacy)) this.#window.add(request);
  }

  /** Something an operator should hear of; goes with the next window. */
  event(kind: string, detail: string): void {
    if (this.#events.length >= LIMIT_EVENTS) this.#surplusEvents += 1;
    else
      this.#events.push({ atMs: this.#modules.clock.nowMs(), kind: kind.slice(0, 64), detail: detail.slice(0, 500) });
  }

  /** Ends the window: stores it, unless nothing happened in it. */
  flush(): void {
    const { outbox, clock, log, stored } = this.#modules;
    const nowMs = clock.nowMs();
    const events = [...this.#events, ...this.#ownEvents(nowMs)];
    if (this.#window.empty && events.length === 0) {
      this.#fromMs = nowMs;
      return;
    }
    const { deviceId } = this.#options;
    try {
      outbox.add({
        deviceId,
        fromMs: Math.min(this.#fromMs, nowMs),
        toMs: nowMs,
        evidence: this.#window.rows(),
        events,
      });
    } catch (cause) {
      log.warn({ error: (cause as Error).message }, 'telemetry could not be stored; the window goes on');
      return;
    }
    this.#window.clear();
    this.#events = [];
    this.#surplusEvents = 0;
    this.#droppedToldOf = outbox.droppedCount;
    this.#fromMs = nowMs;
    stored();
  }

  /** One event about what this telemetry itself left out. */
  #ownEvents(atMs: number): TelemetryRecord['events'] {
    const dropped = this.#modules.outbox.droppedCount - this.#droppedToldOf;
    if (dropped === 0 && this.#surplusEvents === 0 && this.#window.skipped === 0) return [];
    const detail = `${dropped} records dropped from the full outbox, ${this.#surplusEvents} events and ${this.#window.skipped} requests not recorded`;
    return [{ atMs, kind: 'telemetry-dropped', detail }];
  }

  /** The hub wishes another interval: the window under way ends after the new one. */
  intervalChanged(): void {
    if (this.#started) this.#arm();
  }

  #arm(): void {
    this.#cancel();
    this.#cancel = this.#modules.clock.after(this.#options.intervalMs(), () => {
      this.flush();
      this.#arm();
    });
  }
}

// Keeps the hub's picture of this device right: whenever the report would say something new, it is numbered and sent, over
// MQTT while that is connected, else by HTTPS. Full documents with a growing number: one that is lost, doubled or late harms
// nothing, because the next one says everything again.
import { fullJitterMs, type BackoffPolicy } from '@tidegate/shared/system/backoff.js';
import { delay, type Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { Random } from '@tidegate/shared/system/random.js';
import type { ReportedState } from '@tidegate/shared/wire/reported-state.js';

interface ReporterModules {
  /** What there is to say now, without its number. */
  readonly build: () => Omit<ReportedState, 'seq'>;
  /** Takes the next number; it is on disk when this returns. */
  readonly nextSeq: () => number;
  readonly mqttConnected: () => boolean;
  readonly publish: (report: ReportedState, signal: AbortSignal) => Promise<void>;
  readonly put: (report: ReportedState, signal: AbortSignal) => Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

interface ReporterOptions {
  /** Changes within this time go as one report. */
  readonly gatherMs: number;
  readonly backoff: BackoffPolicy;
}

const DEFAULT_REPORTER: ReporterOptions = { gatherMs: 50, backoff: { baseMs: 1000, maxMs: 60_000 } };

export class Reporter {
  readonly #modules: ReporterModules;
  readonly #options: ReporterOptions;
  readonly #stop = new AbortController();
  #wake = new AbortController();
  /** Content that the hub is known to have. */
  #told: string | undefined;
  #loop: Promise<void> = Promise.resolve();
  #failures = 0;

  constructor(modules: ReporterModules, options: ReporterOptions = DEFAULT_REPORTER) {
    this.#modules = modules;
    this.#options = options;
  }

  start(): void {
    this.#loop = this.#run();
  }

  /** Tries once more to say what is new, for at most `timeoutMs`. */
  async stop(timeoutMs: number): Promise<void> {
    this.#stop.abort();
    this.#wake.abort();
    await this.#loop;
    try {
      await this.#tell(AbortSignal.timeout(timeoutMs));
    } catch (cause) {
      this.#modules.log.debug({ error: (cause as Error).message }, 'the last report did not reach the hub');
    }
  }

  /** Something may have changed. */
  changed(): void {
    this.#wake.abort();
  }

  /** The hub may have missed what was said: say it again. */
  again(): void {
    this.#told = undefined;
    this.#failures = 0;
    this.#wake.abort();
  }

  async #run(): Promise<void> {
    const { clock, random, log } = this.#modules;
    const { gatherMs, backoff } = this.#options;
    while (!this.#stop.signal.aborted) {
      this.#wake = new AbortController();
      let retryMs: number | undefined;
      try {
        await this.#tell(this.#stop.signal);
        this.#failures = 0;
      } catch (cause) {
        if (this.#stop.signal.aborted) return;
        this.#failures += 1;
        retryMs = fullJitterMs(this.#failures, backoff, random);
        log.debug({ error: (cause as Error).message }, 'the report did not reach the hub');
      }
      await delay(clock, retryMs ?? 3_600_000, this.#wake.signal).catch(() => undefined); // woken: that is the point
      await delay(clock, gatherMs, this.#stop.signal).catch(() => undefined); // stopping ends the wait
    }
  }

  async #tell(signal: AbortSignal): Promise<void> {
    const { build, nextSeq, mqttConnected, publish, put } = this.#modules;
    const content = build();
    const text = JSON.stringify(content);
    if (text === this.#told) return;
    const report: ReportedState = { ...content, seq: nextSeq() };
    if (mqttConnected()) {
      try {
        await publish(report, signal);
        this.#told = text;
        return;
      } catch {
        signal.throwIfAborted(); // the broker went in this moment: the other way is open
      }
    }
    await put(report, signal);
    this.#told = text;
  }
}

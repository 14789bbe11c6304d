// The deaths of one loaded model's executors, over all its graphs, and what they lead to (restart-policy.ts). The runtime notes
// each death here; serving asks whether the model is in quarantine, and whoever may ends it. A new version has a record of its own.
import type { RuntimeError } from './runtime-error.js';
import type { Clock } from '../system/clock.js';
import { decideRestart, recentDeaths, RESTART_LIMITS, type RestartLimits } from './restart-policy.js';

/** An executor may have said much before it died. */
const REASON_CHARS_MAX = 300;

export interface Quarantine {
  readonly reason: string;
  /** Wall time. */
  readonly sinceMs: number;
}

export class CrashRecord {
  readonly #clock: Clock;
  readonly #limits: RestartLimits;
  /** Ends that were noted: an executor that held several graphs of the model died once. */
  readonly #noted = new WeakSet<RuntimeError>();
  #recentMs: number[] = [];
  #deaths = 0;
  #held: (Quarantine & { readonly untilMs: number }) | undefined;

  constructor(clock: Clock, limits: RestartLimits = RESTART_LIMITS) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Since the model was loaded. */
  get deaths(): number {
    return this.#deaths;
  }

  get quarantine(): Quarantine | undefined {
    if (this.#held !== undefined && this.#clock.monotonicMs() >= this.#held.untilMs) this.release();
    return this.#held;
  }

  /**
   * One more died (`end`: the executor's end, which counts once for all graphs in it), or could not be started again. Returns what
   * to wait for before the next; undefined in quarantine.
   */
  died(how: string, end?: RuntimeError): number | undefined {
    const nowMs = this.#clock.monotonicMs();
    if (end === undefined || !this.#noted.has(end)) {
      this.#deaths += 1;
      this.#recentMs = recentDeaths([...this.#recentMs, nowMs], nowMs, this.#limits);
    }
    if (end !== undefined) this.#noted.add(end);
    const decision = decideRestart(this.#recentMs, nowMs, this.#limits);
    if (decision.kind === 'restart') return decision.delayMs;
    const reason = `${decision.reason}, the last time: ${how.slice(0, REASON_CHARS_MAX)}`;
    this.#held ??= { reason, untilMs: decision.untilMs, sinceMs: this.#clock.nowMs() };
    return undefined;
  }

  /** Ends the quarantine and forgets what led to it. False where there was none. */
  release(): boolean {
    const held = this.#held !== undefined;
    this.#held = undefined;
    this.#recentMs = [];
    return held;
  }
}

// The time by which expiry is judged (design 14; field lessons B1, B2). Its floor is the largest of the build's time, the last
// persisted one and the newest verified metadata's; it never goes back, so setting the clock back revives nothing. From the
// floor on, time passes by the monotonic clock, so a frozen repository expires even where the wall clock stands at 1970.
//
// The wall clock counts too where it is ahead of that, because a device that was off for months knows no better; but not
// where it is absurdly ahead: a clock at 2040 would make every signature look expired for ever. Serving never asks.
import type { Clock } from '../system/clock.js';
import type { Files } from '../system/files.js';

/** Nothing that runs this code lives before this; raised with each release. */
export const BUILD_TIME_MS = Date.UTC(2026, 10, 1);
/** A wall clock further ahead of the floor than this is taken to be wrong. */
const CLOCK_AHEAD_MAX_MS = 2 * 365 * 86_400_000;

interface TrustedTimeOptions {
  /** File that keeps the largest verified time. */
  readonly path: string;
  readonly buildTimeMs?: number;
}

export class TrustedTime {
  readonly #path: string;
  readonly #files: Files;
  readonly #clock: Clock;
  #floorMs: number;
  #floorSetAtMonotonicMs: number;

  private constructor(path: string, files: Files, clock: Clock, floorMs: number) {
    this.#path = path;
    this.#files = files;
    this.#clock = clock;
    this.#floorMs = floorMs;
    this.#floorSetAtMonotonicMs = clock.monotonicMs();
  }

  /** A missing or torn file counts as nothing persisted. */
  static async open(options: TrustedTimeOptions, modules: { files: Files; clock: Clock }): Promise<TrustedTime> {
    const buildTimeMs = options.buildTimeMs ?? BUILD_TIME_MS;
    const persistedMs = await readPersisted(options.path, modules.files);
    return new TrustedTime(options.path, modules.files, modules.clock, Math.max(buildTimeMs, persistedMs));
  }

  /** The earliest that it can be now. */
  floorMs(): number {
    return this.#floorMs + Math.max(0, this.#clock.monotonicMs() - this.#floorSetAtMonotonicMs);
  }

  /** The time to judge expiry by. */
  nowMs(): number {
    return this.clockState() === 'plausible' ? Math.max(this.floorMs(), this.#clock.nowMs()) : this.floorMs();
  }

  /** `behind` and `ahead` are clocks that are certainly, or almost certainly, wrong. */
  clockState(): 'plausible' | 'behind' | 'ahead' {
    const wallMs = this.#clock.nowMs();
    const floorMs = this.floorMs();
    // A day's grace: another machine's clock signed what the floor comes from.
    if (wallMs < floorMs - 86_400_000) return 'behind';
    return wallMs > floorMs + CLOCK_AHEAD_MAX_MS ? 'ahead' : 'plausible';
  }

  /** Raises the floor to a time that verified metadata state, and persists it. A smaller one changes nothing. */
  async observe(verifiedMs: number): Promise<void> {
    if (!Number.isFinite(verifiedMs) || verifiedMs <= this.floorMs()) return;
    this.#floorMs = verifiedMs;
    this.#floorSetAtMonotonicMs = this.#clock.monotonicMs();
    await this.#files.writeAtomic('trusted-time.persist', this.#path, JSON.stringify({ trustedTimeMs: verifiedMs }));
  }
}

async function readPersisted(path: string, files: Files): Promise<number> {
  try {
    const value: unknown = JSON.parse(Buffer.from(await files.read('trusted-time.read', path)).toString('utf8'));
    const ms = (value as { trustedTimeMs?: unknown }).trustedTimeMs;
    return typeof ms === 'number' && Number.isFinite(ms) ? ms : 0;
  } catch {
    return 0; // first start, or torn: the build's time still holds
  }
}

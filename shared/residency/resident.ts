// A model that is known to the device, in memory or not: what residency.ts keeps of it. It stays in memory while leases are
// out; the figures that the policy reads are measured, but the bytes before the first load.
import type { Clock } from '../system/clock.js';
import type { Occupant, Wanted } from './residency-policy.js';
import { UseRate } from './use-rate.js';

/** What can let its memory go and take it again; ServedModel is one. */
export interface Parkable {
  /** Executors that it has now. */
  readonly pids: readonly number[];
  /** What of that executor's memory is its own: others may hold the rest. */
  memoryShareOf(pid: number): number;
  /** What loading took the last time. */
  readonly loadMs: number;
  /** Defined while it answers nothing anyway. */
  readonly quarantine: unknown;
  /** Would parking lose what nobody can bring back? */
  readonly holdsState: boolean;
  /** When it holds none any more, if nothing more is asked of it; monotonic. Absent = nobody knows. */
  readonly stateEndsMs?: number | undefined;
  park(): Promise<void>;
  wake(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export interface ResidentRules {
  /** Without a request for so long, it leaves; 0 = at once, undefined = it stays until its place is needed. */
  readonly keepAliveMs: number | undefined;
  /** Does it never leave? */
  readonly pinned: () => boolean;
}

/** A model that was not loaded yet. */
export interface ExpectedModel {
  /** An estimate, until it was measured. */
  readonly bytes: number;
  readonly rules: ResidentRules;
}

/** `loading` and `leaving` take memory too. */
type ResidentState = 'loading' | 'resident' | 'leaving' | 'on demand';
export type LeaveReason = 'budget' | 'keep-alive' | 'over-budget';

export function noEvictions(): Record<LeaveReason, number> {
  return { budget: 0, 'keep-alive': 0, 'over-budget': 0 };
}

export interface ResidentReport {
  readonly state: ResidentState;
  /** In memory now; 0 on demand. */
  readonly bytes: number;
  /** What it took in memory the last time it was measured. */
  readonly neededBytes: number;
  readonly loads: number;
  readonly evictions: Readonly<Record<LeaveReason, number>>;
  readonly refusals: number;
  readonly pinned: boolean;
  readonly keepAliveMs: number | null;
}

export class Resident {
  readonly name: string;
  readonly rules: ResidentRules;
  readonly rate = new UseRate();
  /** Undefined while it is opened for the first time. */
  model: Parkable | undefined;
  state: ResidentState = 'loading';
  bytes: number;
  /** Right after it was loaded. */
  loadedBytes = 0;
  sinceMs: number;
  lastUsedMs: number;
  loads = 0;
  refusals = 0;
  /** Requests that wait for it to be in memory. */
  waiting = 0;
  readonly evictions = noEvictions();
  /** Settles when a departure that has begun has ended. */
  left: Promise<void> = Promise.resolve();
  stopKeepAlive: (() => void) | undefined;
  readonly #clock: Clock;
  readonly #onIdle: (resident: Resident) => void;
  #leases = 0;
  #waiting: (() => void)[] = [];

  constructor(
    name: string,
    expected: ExpectedModel,
    modules: { readonly clock: Clock; readonly onIdle: (resident: Resident) => void },
  ) {
    this.name = name;
    this.rules = expected.rules;
    this.bytes = expected.bytes;
    this.#clock = modules.clock;
    this.#onIdle = modules.onIdle;
    this.sinceMs = this.lastUsedMs = modules.clock.monotonicMs();
  }

  get idle(): boolean {
    return this.#leases === 0;
  }

  /** It stays in memory until `release` was called as often. */
  lease(): () => void {
    this.#leases += 1;
    return this.#release;
  }

  readonly #release = (): void => {
    this.#leases -= 1;
    this.lastUsedMs = this.#clock.monotonicMs();
    if (this.#leases > 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
    this.#onIdle(this);
  };

  /** Resolves when no lease is out. */
  whenIdle(): Promise<void> {
    return this.idle ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve));
  }

  asOccupant(): Occupant & { readonly resident: Resident } {
    const { name, bytes, sinceMs, idle, rules } = this;
    const holdsState = this.model?.holdsState === true;
    const stays = this.state === 'loading' || holdsState;
    const stateEndsMs = holdsState ? this.model?.stateEndsMs : undefined;
    const { loadMs, usesPerS } = this.#worth();
    return { name, bytes, loadMs, usesPerS, sinceMs, pinned: rules.pinned(), stays, stateEndsMs, idle, resident: this };
  }

  asWanted(urgent: boolean): Wanted {
    return { name: this.name, bytes: this.bytes, ...this.#worth(), urgent };
  }

  report(): ResidentReport {
    const { state, bytes, loads, evictions, refusals, rules } = this;
    return {
      ...{ state, bytes: state === 'on demand' ? 0 : bytes, neededBytes: bytes, loads, evictions, refusals },
      ...{ pinned: rules.pinned(), keepAliveMs: rules.keepAliveMs ?? null },
    };
  }

  #worth(): { readonly loadMs: number; readonly usesPerS: number } {
    return { loadMs: this.model?.loadMs ?? 0, usesPerS: this.rate.perSecond(this.#clock.monotonicMs()) };
  }
}

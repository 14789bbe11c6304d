// What this device knows of the graphs that it runs: how often and how long each has answered without the end of its executor
// being laid to it. The placement (placement-policy.ts) reads it. Kept by the graph's content, so a new version begins anew.
//
// Only what took long to learn is stored: that a graph is proven, or that it ends its executors. Anything else, and a store that
// can't be read or written, costs no more than proving it again.
import type { Clock } from '../system/clock.js';
import type { Log } from '../system/log.js';

interface TrustLimits {
  /** Answers, and over how long, without a death: then it is proven. */
  readonly runs: number;
  readonly forMs: number;
}

export const TRUST_LIMITS: TrustLimits = { runs: 100, forMs: 3_600_000 };

/** Graphs that are remembered; the oldest go first. */
const GRAPHS_MAX = 512;
const SMOOTHING = 0.05;

export interface KnownGraph {
  readonly proven: boolean;
  /** It ended an executor: no other model's graph computed there, and it was not killed from outside. */
  readonly crashed: boolean;
  /** Of a run, smoothed. */
  readonly runUs: number;
}

/** Where it outlives the process; by content. */
export interface TrustStore {
  read(): Promise<ReadonlyMap<string, KnownGraph>>;
  write(known: ReadonlyMap<string, KnownGraph>): Promise<void>;
}

interface TrustModules {
  readonly clock: Clock;
  readonly log: Log;
  readonly store?: TrustStore | undefined;
}

/** One graph's account. */
export class Standing implements KnownGraph {
  proven: boolean;
  crashed: boolean;
  runUs: number;
  /** Since it began to prove itself. */
  runs = 0;
  readonly #limits: TrustLimits;
  readonly #clock: Clock;
  #sinceMs: number;

  constructor(known: KnownGraph | undefined, clock: Clock, limits: TrustLimits) {
    this.proven = known?.proven ?? false;
    this.crashed = known?.crashed ?? false;
    this.runUs = known?.runUs ?? 0;
    this.#limits = limits;
    this.#clock = clock;
    this.#sinceMs = clock.monotonicMs();
  }

  /** What it still lacks, for people; undefined where it is proven. */
  get missing(): string | undefined {
    if (this.proven) return undefined;
    const { runs, forMs } = this.#limits;
    const minutes = (ms: number): number => Math.floor(ms / 60_000);
    const soFar = minutes(this.#clock.monotonicMs() - this.#sinceMs);
    return `${Math.min(this.runs, runs)} of ${runs} answers, ${Math.min(soFar, minutes(forMs))} of ${minutes(forMs)} minutes`;
  }

  /** It answered. True when that has proven it. */
  ran(computeUs: number): boolean {
    const first = this.runUs === 0 || this.runs === 1; // the very first run takes memory and tells little
    this.runUs = first ? computeUs : this.runUs + SMOOTHING * (computeUs - this.runUs);
    this.runs += 1;
    if (this.proven || this.runs < this.#limits.runs) return false;
    this.proven = this.#clock.monotonicMs() - this.#sinceMs >= this.#limits.forMs;
    return this.proven;
  }

  /** It begins to prove itself anew. `guilty`: nobody else can have ended the executor. */
  died(guilty: boolean): void {
    this.crashed ||= guilty;
    this.proven = false;
    this.runs = 0;
    this.#sinceMs = this.#clock.monotonicMs();
  }
}

export class TrustLedger {
  readonly #modules: TrustModules;
  readonly #limits: TrustLimits;
  readonly #standings = new Map<string, Standing>();
  #known: ReadonlyMap<string, KnownGraph> = new Map();
  #writing: Promise<void> = Promise.resolve();
  /** Settles when what is stored has been read. */
  readonly ready: Promise<void>;

  constructor(modules: TrustModules, limits: TrustLimits = TRUST_LIMITS) {
    this.#modules = modules;
    this.#limits = limits;
    this.ready = this.#read();
  }

  /** Of the graph with this content; after `ready`. */
  of(content: string): Standing {
    const found = this.#standings.get(content);
    if (found !== undefined) return found;
    const standing = new Standing(this.#known.get(content), this.#modules.clock, this.#limits);
    const [oldest] = this.#standings.keys();
    if (this.#standings.size >= GRAPHS_MAX && oldest !== undefined) this.#standings.delete(oldest);
    this.#standings.set(content, standing);
    return standing;
  }

  /** Stores what is known by now: after a graph was proven, or has died. */
  keep(): Promise<void> {
    const { store, log } = this.#modules;
    if (store === undefined) return this.#writing;
    const known = new Map(this.#known);
    for (const [content, { proven, crashed, runUs }] of this.#standings) {
      known.delete(content);
      if (proven || crashed) known.set(content, { proven, crashed, runUs });
    }
    this.#known = new Map([...known].slice(-GRAPHS_MAX));
    this.#writing = this.#writing
      .then(() => store.write(this.#known))
      .catch((error: unknown) => log.warn({ error: String(error) }, 'which graphs are proven could not be stored'));
    return this.#writing;
  }

  async #read(): Promise<void> {
    const { store, log } = this.#modules;
    try {
      this.#known = (await store?.read()) ?? new Map();
    } catch (error) {
      log.warn({ error: String(error) }, 'which graphs are proven could not be read: they prove themselves anew');
    }
  }
}

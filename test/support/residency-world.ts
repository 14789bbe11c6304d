// Residency over models that only count bytes and take simulated time to load. Real executors: test/e2e/serve-memory.test.ts.
import { Residency, type Lease, type ResidencyAsk } from '@tidegate/shared/residency/residency.js';
import type { Parkable } from '@tidegate/shared/residency/resident.js';
import type { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { settle } from './fake-graph-runner.js';
import { ManualClock } from './manual-clock.js';
import { recordedLog } from './recorded-log.js';

const signal = new AbortController().signal;
/** What the server itself takes. */
export const OWN = 50;

export class World {
  readonly clock = new ManualClock();
  readonly log = recordedLog();
  readonly models: FakeModel[] = [];
  readonly residency: Residency;
  readonly limitBytes: number | undefined;
  ownBytes = OWN;
  /** What the server itself comes down to when what it uses no more is collected. */
  collected: number | undefined;
  /** The most that was ever in memory at once. */
  peakBytes = 0;

  constructor(limitBytes?: number) {
    this.limitBytes = limitBytes;
    this.residency = new Residency(
      { limitBytes },
      {
        clock: this.clock,
        log: this.log,
        ownPids: () => [1],
        memoryOf: (pid) => Promise.resolve(this.bytesOf(pid)),
        collect: () => this.collect(),
      },
    );
  }

  collect(): boolean {
    if (this.collected === undefined || this.ownBytes === this.collected) return false;
    this.ownBytes = this.collected;
    return true;
  }

  bytesOf(pid: number): number | undefined {
    return pid === 1 ? this.ownBytes : this.models.findLast((model) => model.pids.includes(pid))?.bytes;
  }

  async add(
    name: string,
    part: Partial<FakeModel> & { keepAliveMs?: number; pinned?: boolean; expected?: number } = {},
  ) {
    const { keepAliveMs, pinned = false, expected, ...rest } = part;
    const model = Object.assign(new FakeModel(name, this), rest);
    this.models.push(model);
    const rules = { keepAliveMs, pinned: () => pinned };
    await this.residency.admit(name, { bytes: expected ?? model.bytes, rules }, () => model.open(), signal);
    return model;
  }

  /** Lets what was begun go on, time passing in steps. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) {
      this.clock.advance(Math.min(50, left));
      await settle();
      this.look();
    }
  }

  look(): void {
    const usedBytes = this.models.reduce((sum, { pids, bytes }) => sum + (pids.length === 0 ? 0 : bytes), OWN);
    this.peakBytes = Math.max(this.peakBytes, usedBytes);
  }

  /** A request that takes no time once it has its lease. */
  ask(
    model: Parkable,
    deadlineMs: number,
    more: Partial<ResidencyAsk> = {},
    inner = new AbortController().signal,
  ): Promise<ServingError | 'here'> {
    const ask = { deadlineMs: this.clock.monotonicMs() + deadlineMs, ...more };
    return Promise.resolve()
      .then(() => this.residency.hold(model, ask, inner))
      .then(
        (lease: Lease) => (lease(), 'here' as const),
        (error: unknown) => error as ServingError,
      );
  }

  state(model: Parkable): string | undefined {
    return this.residency.reportOf(model)?.state;
  }
}

class FakeModel implements Parkable {
  readonly name: string;
  readonly #world: World;
  bytes = 100;
  /** As measured the last time, and what it takes the next time. */
  loadMs = 400;
  takesMs: number | undefined;
  pids: number[] = [];
  share = 1;
  quarantine: object | undefined;
  holdsState = false;
  stateEndsMs: number | undefined;
  wakes = 0;
  failures = 0;

  constructor(name: string, world: World) {
    this.name = name;
    this.#world = world;
  }

  memoryShareOf(): number {
    return this.share;
  }

  open(): Promise<FakeModel> {
    this.pids = [100 + this.#world.models.indexOf(this)];
    this.#world.look();
    return Promise.resolve(this);
  }

  async park(): Promise<void> {
    this.pids = [];
  }

  wake(): Promise<void> {
    this.wakes += 1;
    return new Promise((resolve, reject) => {
      this.#world.clock.after(this.takesMs ?? this.loadMs, () => {
        if (this.failures-- > 0) return reject(new Error('broken'));
        void this.open();
        resolve();
      });
    });
  }

  async close(): Promise<void> {
    this.pids = [];
    this.#world.residency.forget(this);
  }
}

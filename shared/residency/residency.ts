// Keeps the models that answer here within the memory budget: the shell of residency-policy.ts. Memory is read from the system,
// after each load and while requests come, never taken from an estimate but before a first load. A model that has left stays
// known; a request for it loads it again where the policy lets it in, within the request's deadline, or is refused with the reason.
//
// Invariants: nothing leaves while a lease is out; what a load will need is set aside before it begins, so that two loads never
// count on the same bytes; a refusal changes nothing.
import { ServingError } from '../serving/serving-error.js';
import type { Clock } from '../system/clock.js';
import type { Log } from '../system/log.js';
import { Changes } from './changes.js';
import { InMemory, type MemoryLimits, type RoomDecision } from './in-memory.js';
import type { MemorySource } from './measured-memory.js';
import { MemoryWatch } from './memory-watch.js';
import {
  noEvictions,
  Resident,
  type ExpectedModel,
  type LeaveReason,
  type Parkable,
  type ResidentReport,
} from './resident.js';

/** Requests that may wait for models to be loaded, over all models. */
const WAITING_MAX = 256;
/** A model that holds a sequence's state when its keep-alive ends is asked again so often. */
const STATE_CHECK_MS = 5000;
const OVER_BUDGET = 'more memory is used than the budget allows, and nothing can leave';
export type Lease = () => void;
const NO_LEASE: Lease = () => undefined;

/** A request that needs the model in memory. */
export interface ResidencyAsk {
  /** Monotonic. */
  readonly deadlineMs: number;
  /** Who else could answer, and how soon; undefined = nobody. Then it waits for nothing that takes longer. */
  readonly elsewhereMs?: (() => number | undefined) | undefined;
}

/** A model that is opened for the first time doesn't fit the budget, whoever else leaves. */
export class DoesNotFitError extends ServingError {}

interface ResidencyModules extends MemorySource {
  /** Gives back what the server itself uses no more, as collectUnusedBuffers. */
  readonly collect?: (() => boolean) | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

interface MemoryReport {
  readonly budgetBytes: number | null;
  /** As last measured. */
  readonly usedBytes: number;
  /** Of it, beside the models. */
  readonly ownBytes: number;
  /** Over all models, also those that were closed since. */
  readonly loads: number;
  readonly evictions: Readonly<Record<LeaveReason, number>>;
  readonly refusals: number;
  /** Measurements that found more in use than the budget, and nobody who could leave. */
  readonly overBudget: number;
}

export class Residency {
  readonly #options: MemoryLimits;
  readonly #modules: ResidencyModules;
  readonly #byModel = new WeakMap<object, Resident>();
  readonly #inMemory: InMemory;
  readonly #closing = new AbortController();
  /** Of who is in memory. */
  readonly #changes: Changes;
  #waiting = 0;
  readonly #totals = { loads: 0, evictions: noEvictions(), refusals: 0, overBudget: 0 };
  readonly #watch: MemoryWatch;
  #over = false;

  constructor(options: MemoryLimits, modules: ResidencyModules) {
    this.#options = options;
    this.#modules = modules;
    this.#inMemory = new InMemory(options, modules);
    this.#changes = new Changes(modules.clock);
    this.#watch = new MemoryWatch({ clock: modules.clock, look: () => this.#look() });
  }

  /**
   * Makes room, opens a model for the first time, and looks after it from then on. Rejects with DoesNotFitError where it
   * doesn't, with what it needs and what is there, and with what `open` rejects; nothing stays loaded then.
   */
  async admit<M extends Parkable>(
    name: string,
    expected: ExpectedModel,
    open: () => Promise<M>,
    signal: AbortSignal,
  ): Promise<M> {
    const resident = this.#resident(name, expected);
    await this.#inMemory.read();
    await this.#makeRoom(resident, signal);
    let model: M | undefined;
    try {
      await Promise.all(
        this.#inMemory.residents().map((other) => (other.state === 'leaving' ? other.left : undefined)),
      );
      model = await open();
      resident.model = model;
      this.#byModel.set(model, resident);
      await this.#settle(resident);
      return model;
    } catch (cause) {
      this.forget(resident);
      await model?.close();
      throw cause;
    }
  }

  /** Looks after a model that is on demand: the first who holds it has it loaded, where the policy lets it in. */
  know(name: string, model: Parkable, expected: ExpectedModel): void {
    const resident = this.#resident(name, expected);
    resident.state = 'on demand';
    resident.model = model;
    this.#byModel.set(model, resident);
    this.#inMemory.add(resident);
  }

  /** Forgets a model that was closed. */
  forget(model: Parkable | Resident): void {
    const resident = model instanceof Resident ? model : this.#byModel.get(model);
    if (resident === undefined) return;
    resident.stopKeepAlive?.();
    resident.state = 'on demand';
    this.#inMemory.delete(resident);
    this.#changes.happened();
  }

  /**
   * Keeps the model in memory until the lease is given back; at once where it is there, else once it is loaded again. Rejects with
   * ServingError `not-ready` with the time from which it may be there, `deadline-exceeded`, `cancelled`, `queue-full`.
   */
  hold(model: Parkable, ask: ResidencyAsk, signal: AbortSignal): Lease | Promise<Lease> {
    const resident = this.#byModel.get(model);
    if (resident === undefined) return NO_LEASE;
    const nowMs = this.#modules.clock.monotonicMs();
    resident.rate.note(nowMs);
    resident.lastUsedMs = nowMs;
    this.#watch.asked();
    return resident.state === 'resident' ? resident.lease() : this.#holdLater(resident, ask, signal);
  }

  /** Loads it again where it isn't there and the policy lets it in; nobody waits. */
  warm(model: Parkable): void {
    const resident = this.#byModel.get(model);
    if (resident === undefined || resident.state !== 'on demand') return;
    const { kind, ...more } = this.#tryWake(resident, false);
    if (kind !== 'load') this.#modules.log.info({ model: resident.name, ...more }, 'model not loaded ahead');
  }

  /** Loads it now, whoever has to leave for it. Rejects as hold does. */
  async load(model: Parkable, signal: AbortSignal): Promise<void> {
    const resident = this.#byModel.get(model);
    if (resident === undefined) return;
    resident.waiting += 1; // with a keep-alive of 0 it would have left before it is seen to be there
    try {
      while (resident.state !== 'resident' && this.#inMemory.has(resident)) {
        const decision = resident.state === 'loading' ? undefined : this.#tryWake(resident, true);
        if (decision?.kind === 'never') throw this.#refusal(resident, decision.reason, undefined);
        await this.#changes.next(decision?.kind === 'wait' ? decision.againMs : Infinity, signal);
        if (model.quarantine !== undefined) return;
      }
    } finally {
      resident.waiting -= 1;
      this.#armKeepAlive(resident);
    }
  }

  reportOf(model: Parkable): ResidentReport | undefined {
    return this.#byModel.get(model)?.report();
  }

  get report(): MemoryReport {
    const { ownBytes } = this.#inMemory;
    const usedBytes = this.#inMemory.residents().reduce((sum, { bytes }) => sum + bytes, ownBytes);
    const { limitBytes } = this.#options;
    return { budgetBytes: limitBytes ?? null, usedBytes, ownBytes, ...this.#totals };
  }

  close(): void {
    this.#closing.abort();
    this.#watch.close();
    for (const resident of this.#inMemory.known) resident.stopKeepAlive?.();
  }

  #resident(name: string, expected: ExpectedModel): Resident {
    const { clock } = this.#modules;
    return new Resident(name, expected, { clock, onIdle: (idle) => this.#armKeepAlive(idle) });
  }

  async #holdLater(resident: Resident, ask: ResidencyAsk, signal: AbortSignal): Promise<Lease> {
    if (this.#waiting >= WAITING_MAX) {
      throw new ServingError('queue-full', `refused: ${WAITING_MAX} requests wait for models to be loaded`, {
        retryAfterMs: 1000,
      });
    }
    this.#waiting += 1;
    resident.waiting += 1;
    try {
      for (;;) {
        if (resident.model?.quarantine !== undefined) return NO_LEASE; // the model itself says so
        if (!this.#inMemory.has(resident) || this.#closing.signal.aborted)
          throw new ServingError('not-ready', 'the model is being taken out of service');
        if (resident.state === 'resident') return resident.lease();
        await this.#waitFor(resident, ask, signal);
      }
    } finally {
      this.#waiting -= 1;
      resident.waiting -= 1;
      this.#armKeepAlive(resident);
    }
  }

  /** One step of waiting, where waiting can pay. */
  async #waitFor(resident: Resident, ask: ResidencyAsk, signal: AbortSignal): Promise<void> {
    const nowMs = this.#modules.clock.monotonicMs();
    const loadMs = resident.model?.loadMs ?? 0;
    const decision = resident.state === 'loading' ? undefined : this.#tryWake(resident, false);
    if (decision?.kind === 'never') throw this.#refusal(resident, decision.reason, undefined);
    const readyMs = decision?.kind === 'wait' ? decision.untilMs + loadMs : this.#loadStartMs(resident) + loadMs;
    const reason = decision?.kind === 'wait' ? decision.reason : `loading it takes about ${Math.ceil(loadMs)} ms`;
    if (nowMs >= ask.deadlineMs) throw new ServingError('deadline-exceeded', `the deadline passed: ${reason}`);
    const elsewhereMs = ask.elsewhereMs?.() ?? Infinity;
    if (readyMs - nowMs > elsewhereMs || readyMs > ask.deadlineMs) {
      throw this.#refusal(resident, reason, Math.max(1, Math.ceil(readyMs - nowMs)));
    }
    await this.#changes.next(Math.min(ask.deadlineMs, decision?.kind === 'wait' ? decision.againMs : Infinity), signal);
  }

  #loadStartMs(resident: Resident): number {
    return resident.state === 'loading' ? resident.sinceMs : this.#modules.clock.monotonicMs();
  }

  #refusal(resident: Resident, reason: string, retryAfterMs: number | undefined): ServingError {
    resident.refusals += 1;
    this.#totals.refusals += 1;
    const text = `'${resident.name}' is not in memory: ${reason}`;
    return new ServingError('not-ready', text, retryAfterMs === undefined ? {} : { retryAfterMs });
  }

  /** Sets the bytes aside and begins to load it again, where the policy lets it in. */
  #tryWake(resident: Resident, urgent: boolean): RoomDecision {
    const decision = this.#inMemory.decideRoom(resident, urgent);
    if (decision.kind === 'load') {
      const before = resident.left;
      this.#reserve(resident);
      const leaving = decision.leave.map((other) => this.#leave(other.resident, 'budget', resident.name));
      void this.#wake(resident, Promise.all([before, ...leaving]));
    }
    return decision;
  }

  async #wake(resident: Resident, room: Promise<unknown>): Promise<void> {
    const { clock, log } = this.#modules;
    const { name, model } = resident;
    try {
      await room;
      const startMs = clock.monotonicMs();
      await model?.wake(this.#closing.signal);
      const again = resident.loads === 0 ? '' : ' again';
      log.info({ model: name, loadMs: Math.round(clock.monotonicMs() - startMs) }, `model loaded${again}`);
      await this.#settle(resident);
    } catch (cause) {
      const error = cause instanceof Error ? cause.message : String(cause);
      if (this.#inMemory.has(resident) && !this.#closing.signal.aborted)
        log.error({ model: name, error }, 'model not loaded');
      await model?.park();
      if (resident.state === 'loading') resident.state = 'on demand';
    } finally {
      this.#changes.happened();
    }
  }

  /** Waits until the policy lets it in. Rejects where it never will. */
  async #makeRoom(resident: Resident, signal: AbortSignal): Promise<void> {
    for (;;) {
      const decision = this.#inMemory.decideRoom(resident, true);
      if (decision.kind === 'never') throw doesNotFit(this.#refusal(resident, decision.reason, undefined));
      if (decision.kind === 'load') {
        this.#reserve(resident);
        for (const other of decision.leave) void this.#leave(other.resident, 'budget', resident.name);
        return;
      }
      await this.#changes.next(decision.againMs, signal);
    }
  }

  /** It is loaded: measured, and let stay where it really fits. */
  async #settle(resident: Resident): Promise<void> {
    await this.#inMemory.read();
    const decision = this.#inMemory.decideRoom(resident, true);
    if (decision.kind === 'never') throw doesNotFit(this.#refusal(resident, decision.reason, undefined));
    if (decision.kind === 'load') {
      await Promise.all(decision.leave.map((other) => this.#leave(other.resident, 'budget', resident.name)));
    }
    if (resident.state !== 'loading') return; // closed meanwhile
    resident.state = 'resident';
    resident.loads += 1;
    this.#totals.loads += 1;
    resident.loadedBytes = resident.bytes;
    resident.sinceMs = resident.lastUsedMs = this.#modules.clock.monotonicMs();
    this.#changes.happened();
    this.#armKeepAlive(resident);
  }

  #reserve(resident: Resident): void {
    resident.state = 'loading';
    resident.sinceMs = this.#modules.clock.monotonicMs();
    this.#inMemory.add(resident);
  }

  #leave(resident: Resident, why: LeaveReason, wanted?: string): Promise<void> {
    if (resident.state !== 'resident') return resident.left;
    resident.state = 'leaving';
    resident.stopKeepAlive?.();
    resident.evictions[why] += 1;
    this.#totals.evictions[why] += 1;
    const usesPerMinute = Number((60 * resident.rate.perSecond(this.#modules.clock.monotonicMs())).toFixed(2));
    const fields = { model: resident.name, why, bytes: resident.bytes, usesPerMinute, ...(wanted && { for: wanted }) };
    this.#modules.log.info(fields, 'model leaves memory');
    resident.left = (async () => {
      await resident.whenIdle();
      await resident.model?.park();
      if (why === 'over-budget') resident.bytes = resident.loadedBytes; // it begins anew without what it has grown by
      if (resident.state === 'leaving') resident.state = 'on demand';
      this.#changes.happened();
    })();
    return resident.left;
  }

  #armKeepAlive(resident: Resident): void {
    const { keepAliveMs, pinned } = resident.rules;
    if (keepAliveMs === undefined || pinned() || resident.stopKeepAlive !== undefined) return;
    if (resident.state !== 'resident' || !resident.idle || resident.waiting > 0) return;
    const { clock } = this.#modules;
    const { holdsState = false } = resident.model ?? {};
    const restMs = Math.max(resident.lastUsedMs + keepAliveMs - clock.monotonicMs(), holdsState ? STATE_CHECK_MS : 0);
    if (restMs <= 0) {
      void this.#leave(resident, 'keep-alive');
      return;
    }
    const cancel = clock.after(restMs, () => {
      resident.stopKeepAlive = undefined;
      this.#armKeepAlive(resident); // it may have been used meanwhile
    });
    resident.stopKeepAlive = () => {
      cancel();
      resident.stopKeepAlive = undefined;
    };
  }

  /** True where it should be looked again although nobody asks. */
  async #look(): Promise<boolean> {
    await this.#inMemory.read();
    const { collect, log } = this.#modules;
    let { leave, overBytes } = this.#inMemory.decideShrink();
    if (leave.length + overBytes > 0 && collect?.() === true) {
      await this.#inMemory.read();
      ({ leave, overBytes } = this.#inMemory.decideShrink());
    }
    for (const { resident } of leave) void this.#leave(resident, 'over-budget');
    if (overBytes > 0) this.#totals.overBudget += 1;
    if (overBytes > 0 && !this.#over) log.warn({ overBytes, limitBytes: this.#options.limitBytes }, OVER_BUDGET);
    this.#over = overBytes > 0;
    return this.#over;
  }
}

function doesNotFit(refusal: ServingError): DoesNotFitError {
  return new DoesNotFitError(refusal.code, refusal.message);
}

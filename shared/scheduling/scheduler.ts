// One loaded graph's requests, from admission to the answer: a thin shell around the pure policies beside it. It admits or refuses at
// once; the cores' queue (cores.ts), which all models share, says when it may begin a run, and pickBatch what goes into it. A request whose caller
// went away never starts; a run for which nobody waits any more is cancelled (field lesson B27). A run that ended with its
// executor is repeated once within its deadline, each member alone, so that an input that kills executors takes nobody along.
// Requests share runs only once a trial has shown that it changes no answer (sharing-proof.ts).
//
// Invariants: every admitted request settles by its deadline; no more than `queueDepthMax` wait; at most
// `runner.concurrency` runs compute, and one more waits inside the executor.
import type { GraphRunner } from '../runtime/graph-runner.js';
import { RuntimeError } from '../runtime/runtime-error.js';
import { ServingError } from '../serving/serving-error.js';
import type { Clock } from '../system/clock.js';
import type { NamedTensor } from '../tensor/tensor.js';
import { admit, type AdmissionDecision, type PlannedRun } from './admission.js';
import { Cores } from './cores.js';
import type { PaddingRule } from './padding-rule.js';
import { pickBatch } from './pick-batch.js';
import { rankOf } from './rank.js';
import { canBatch, rowsOf, shapeOf } from './rows.js';
import { cancelled, displaced, servingErrorOf } from './refusals.js';
import { tracesOf } from './run-traces.js';
import { RunTimes, type Estimate } from './run-times.js';
import { RunningRuns, type Run } from './running-runs.js';
import type {
  Lane,
  NextRun,
  ScheduledRequest,
  ScheduledResult,
  ScheduledWork,
  UnreadWork,
} from './scheduled-request.js';
import { isPadded, SharingProof, type PaddingState } from './sharing-proof.js';

/** Beside light callers, a batch of heavy ones' may take so many times as long as a run alone. */
const HEAVY_BATCH_GROWTH = 1.25;
/** However much time a request has, those that come so much later are no more urgent. */
const PATIENCE_MS = 10_000;
/** Times that what waits and runs may take, deviations and turns included, before a deadline is looked at closely. */
const AHEAD_MARGIN = 3;
/** A request that runs again goes before others of its rank. */
const BEFORE_EQUALS = 1e-6;

interface SchedulerOptions {
  /** Largest number of rows of a batch of several requests; 1 = never batch. */
  readonly maxRows: number;
  readonly queueDepthMax: number;
  /** How requests that differ in a length may share a run; absent = they don't. */
  readonly ragged?: PaddingRule | undefined;
}

interface SchedulerModules {
  readonly clock: Clock;
  /** Where it computes; absent = on cores of its own, as many as it has slots. */
  readonly cores?: Cores | undefined;
  /** Hears of each run that ended well. */
  readonly onRun?: (rows: number, computeUs: number) => void;
  /** Hears that requests are no longer padded, and why. */
  readonly onPaddingOff?: (reason: string) => void;
}

type PlannedRequest = PlannedRun & Pick<ScheduledRequest, 'lane'>;
type Refusal = Exclude<AdmissionDecision<ScheduledRequest>, { readonly admit: true }>;

/** Since the start; for metrics and status. */
export interface SchedulerCounts {
  readonly runs: number;
  readonly rows: number;
  readonly refused: number;
  readonly expired: number;
  readonly cancelled: number;
  readonly retried: number;
  /** Runs that were ended for a light caller's request, and repeated. */
  readonly repeated: number;
  /** Runs in which requests were padded to the longest. */
  readonly padded: number;
  readonly queueDepth: number;
  readonly running: number;
}

export class Scheduler implements Lane {
  readonly slots: number;
  readonly threads: number;
  readonly runs: RunningRuns<ScheduledRequest>;
  readonly #runner: GraphRunner;
  readonly #options: SchedulerOptions;
  readonly #clock: Clock;
  readonly #onRun: ((rows: number, computeUs: number) => void) | undefined;
  readonly #times: RunTimes;
  readonly #cores: Cores;
  readonly #sharing: SharingProof;
  #waiting = 0;
  #closed = false;
  #counts = { runs: 0, rows: 0, refused: 0, expired: 0, cancelled: 0, retried: 0, repeated: 0, padded: 0 };

  constructor(runner: GraphRunner, options: SchedulerOptions, modules: SchedulerModules) {
    const { clock, cores, onRun, onPaddingOff } = modules;
    this.#runner = runner;
    this.#options = options;
    this.#clock = clock;
    this.#onRun = onRun;
    this.slots = runner.concurrency;
    this.#times = new RunTimes(this.slots);
    this.threads = cores === undefined ? 1 : runner.threads;
    this.#cores = cores ?? new Cores({ count: this.slots }, { clock });
    this.runs = new RunningRuns(this.slots, this.threads);
    const batches = options.maxRows > 1 && canBatch(runner.inputs, runner.outputs);
    this.#sharing = new SharingProof({ batches, ragged: options.ragged, onPaddingOff });
  }

  /**
   * Rejects with ServingError: `would-miss-deadline` or `queue-full` at once, `deadline-exceeded` at the deadline,
   * `cancelled` when the signal aborts, `invalid-argument` for feeds that the graph refuses, `failed` otherwise.
   */
  run(work: ScheduledWork, signal: AbortSignal): Promise<ScheduledResult> {
    if (this.#closed) return Promise.reject(new ServingError('not-ready', 'the model is being taken out of service'));
    if (signal.aborted) return Promise.reject(cancelled());
    const nowMs = this.#clock.monotonicMs();
    const rows = this.#sharing.batches ? rowsOf(work.feeds) : undefined;
    const shape = shapeOf(work.feeds, work.outputs, rows, this.#sharing.rule);
    const { plan, decision } = this.#admission(work, this.#times.estimate(shape, rows ?? 1), nowMs);
    if (!decision.admit) return Promise.reject(this.#turnedAway(plan, decision));
    for (const other of decision.displaced) other.lane.giveUp(other, displaced(this.#cores.drainMs));
    return new Promise((resolve, reject) => {
      const onAbort = (): void => this.giveUp(item, cancelled());
      const cancelTimer = this.#clock.after(Math.max(0, work.deadlineMs - nowMs), () =>
        this.giveUp(item, new ServingError('deadline-exceeded', 'the deadline passed before the answer was there')),
      );
      signal.addEventListener('abort', onAbort, { once: true });
      const item: ScheduledRequest = {
        work,
        shape,
        rows: rows ?? 1,
        enqueuedMs: nowMs,
        alone: rows === undefined,
        retried: false,
        settled: false,
        trial: undefined,
        run: undefined,
        resolve,
        reject,
        stopWaiting: () => {
          cancelTimer();
          signal.removeEventListener('abort', onAbort);
        },
        ...plan, // last: before other fields it costs V8 some 10 us
      };
      this.#enqueue(item, item.rank);
      this.#cores.makeWay(item);
      this.#cores.dispatch();
    });
  }

  /**
   * The refusal of a request of which only this is known, where it would be refused with whatever it carries: no feeds of `bytes`
   * ever took less than what it is judged by. Counts as refused. Undefined = its feeds decide.
   */
  refusal(work: UnreadWork): ServingError | undefined {
    if (this.#closed) return undefined;
    const least = this.#times.least(work.bytes);
    const { plan, decision } = this.#admission(work, least, this.#clock.monotonicMs());
    if (!decision.admit) return this.#turnedAway(plan, decision);
    this.#cores.queue.turnedAway(plan);
    return undefined;
  }

  /** Could `refusal` find anything against a request with this deadline? Takes a microsecond, unlike admission itself. */
  crowded(deadlineMs: number): boolean {
    if (this.#waiting >= this.#options.queueDepthMax / 2) return true;
    const nowMs = this.#clock.monotonicMs();
    const busyMs = Math.max(...this.#cores.freeMs(nowMs)) - nowMs;
    const aheadMs = this.#cores.drainMs + busyMs + (this.#times.least(undefined)?.meanMs ?? 0);
    return nowMs + AHEAD_MARGIN * aheadMs > deadlineMs;
  }

  get counts(): SchedulerCounts {
    return { queueDepth: this.#waiting, running: this.runs.size, ...this.#counts };
  }

  /** Undefined where the package doesn't ask for it. */
  get padding(): PaddingState | undefined {
    return this.#sharing.padding;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get cancellable(): boolean {
    return this.#runner.engine.capabilities.cancellable;
  }

  slotsFreeMs(nowMs: number): number[] {
    return this.runs.slotsFreeMs(nowMs);
  }

  /** Expected time of a request like this one if it were asked now and alone; undefined before the first run. */
  expectedMs(feeds: readonly NamedTensor[], outputs: readonly string[]): number | undefined {
    const { batches, rule } = this.#sharing;
    const rows = batches ? rowsOf(feeds) : undefined;
    return this.#times.estimate(shapeOf(feeds, outputs, rows, rule), rows ?? 1)?.meanMs;
  }

  /** Takes no more work; what was admitted still runs. */
  close(): void {
    this.#closed = true;
  }

  /** Its caller's account is entered with it. */
  #admission(
    { caller, tenant = '', deadlineMs, priority }: Omit<UnreadWork, 'bytes'>,
    estimate: Estimate | undefined,
    nowMs: number,
  ): { readonly plan: PlannedRequest; readonly decision: AdmissionDecision<ScheduledRequest> } {
    const { queue } = this.#cores;
    const account = queue.enter(caller);
    const plan = {
      lane: this as Lane,
      account,
      tenant: queue.enterTenant(account, tenant),
      rank: rankOf(Math.min(deadlineMs, nowMs + PATIENCE_MS), priority),
      deadlineMs,
      costMs: estimate?.meanMs ?? 0,
      boundMs: estimate?.boundMs ?? 0,
      threads: this.threads,
    };
    const decision = admit<ScheduledRequest>(plan, {
      nowMs,
      slotsFreeMs: this.#cores.freeMs(nowMs),
      busyDoubtMs: this.#cores.doubtMs,
      slipMs: (untilMs, ownMs) => this.#times.slipMs(untilMs, ownMs, nowMs),
      queueDepth: this.#waiting,
      queueDepthMax: this.#options.queueDepthMax,
      turns: () => queue.turns(nowMs),
      turnsWith: (candidate) => queue.turnsWith(candidate, nowMs),
      lastObservedMs: this.#times.lastObservedMs,
      lightShare: () => queue.use.lightRate(plan.account, nowMs) / this.#cores.count,
    });
    return { plan, decision };
  }

  #turnedAway(plan: PlannedRequest, decision: Refusal): ServingError {
    this.#cores.queue.turnedAway(plan);
    this.#counts.refused += 1;
    const { code, reason, retryAfterMs } = decision;
    return new ServingError(code, `refused: ${reason}`, { retryAfterMs });
  }

  begin({ members: candidates, heavy, freeSlots, longestMs, timed }: NextRun): void {
    const nowMs = this.#clock.monotonicMs();
    const { batches, inTrial, maxWaste } = this.#sharing;
    const maxRows = batches && !inTrial ? this.#options.maxRows : 1;
    const policy = { maxRows, freeSlots, growthMax: heavy ? HEAVY_BATCH_GROWTH : Infinity, longestMs, maxWaste };
    const members = this.#sharing.choose(pickBatch(candidates, this.#times, policy, nowMs));
    for (const member of members) {
      this.#dequeue(member);
      this.#cores.queue.began(member, nowMs);
    }
    const run = this.runs.begin(members, nowMs, timed);
    for (const member of members) member.run = run;
    void this.#perform(run);
  }

  async #perform(run: Run<ScheduledRequest>): Promise<void> {
    const { members } = run;
    const first = members[0];
    if (first === undefined) return;
    const rows = members.reduce((sum, member) => sum + member.rows, 0);
    try {
      const { feeds, shape = first.shape } = this.#sharing.joined(members);
      this.#counts.runs += 1;
      this.#counts.rows += rows;
      if (isPadded(members)) this.#counts.padded += 1;
      const result = await this.#runner.run(feeds, first.work.outputs, run.abort.signal, first.work.sequence);
      this.#onRun?.(rows, result.computeUs);
      const endedMs = this.#clock.monotonicMs();
      const beganMs = run.beganMs ?? endedMs - result.computeUs / 1000;
      if (!first.retried && run.timed) this.#times.observe(shape, rows, endedMs - beganMs, endedMs);
      const coreMs = (endedMs - beganMs) * this.threads;
      for (const member of members) this.#cores.queue.ended(member, (coreMs * member.rows) / rows, endedMs);
      this.#deliver(run, result.outputs, result.computeUs, beganMs, rows);
    } catch (cause) {
      const nowMs = this.#clock.monotonicMs();
      if (run.abort.signal.aborted && run.timed && run.beganMs !== undefined)
        this.#times.atLeast(first.shape, rows, nowMs - run.beganMs, nowMs);
      if (run.makesWay) this.#repeat(run);
      else this.#recover(run, cause);
    } finally {
      this.runs.ended(run, this.#clock.monotonicMs());
      this.#cores.ended(this, !run.abort.signal.aborted);
    }
  }

  #deliver(
    run: Run<ScheduledRequest>,
    outputs: NamedTensor[],
    computeUs: number,
    beganMs: number,
    batchRows: number,
  ): void {
    const { members } = run;
    const split = this.#sharing.parted(members, outputs);
    if (split === undefined) {
      this.#again(members);
      return;
    }
    const traces = tracesOf(members);
    members.forEach((member, i) => {
      const queueUs = Math.max(0, Math.round((beganMs - member.enqueuedMs) * 1000));
      this.#settle(member, () =>
        member.resolve({ outputs: split[i] ?? [], queueUs, computeUs, batchRows, runId: run.id, traces }),
      );
    });
  }

  #recover(run: Run<ScheduledRequest>, cause: unknown): void {
    const waiting = run.members.filter((member) => !member.settled);
    const error = cause instanceof RuntimeError ? cause : new RuntimeError('run-failed', String(cause), { cause });
    if (error.retryable) {
      for (const member of waiting) {
        if (member.retried) this.#settle(member, () => member.reject(servingErrorOf(error, 'twice')));
      }
      const once = waiting.filter((member) => !member.retried);
      for (const member of once) member.retried = true;
      this.#counts.retried += once.length;
      this.#again(once);
    } else if (run.members.length > 1 && (error.code === 'run-failed' || error.code === 'invalid-input')) {
      this.#again(waiting); // one member's input failed all: each alone, so that it fails only itself
    } else {
      for (const member of waiting) this.#settle(member, () => member.reject(servingErrorOf(error, 'once')));
    }
  }

  mayRepeat({ members }: Run<ScheduledRequest>): boolean {
    return members.every(
      (member) => !member.retried && !this.#sharing.isOnTrial(member) && member.work.sequence === undefined,
    );
  }

  makeWay(run: Run<ScheduledRequest>): void {
    run.makesWay = true;
    this.#counts.repeated += 1;
    run.abort.abort(new RuntimeError('cancelled', "another caller's request goes first"));
  }

  /** Back into the queue, before others of their rank. Their caller's turn stays over, or they would go first again. */
  #repeat({ members }: Run<ScheduledRequest>): void {
    for (const member of [...members].reverse()) {
      member.run = undefined;
      if (!member.settled) this.#enqueue(member, member.rank - BEFORE_EQUALS);
    }
  }

  #again(members: readonly ScheduledRequest[]): void {
    for (const member of [...members].reverse()) {
      if (member.settled) continue;
      member.alone = true;
      member.run = undefined;
      this.#enqueue(member, member.rank - BEFORE_EQUALS);
    }
  }

  #enqueue(item: ScheduledRequest, rank: number): void {
    this.#cores.queue.add(item, rank);
    this.#waiting += 1;
  }

  #dequeue(item: ScheduledRequest): void {
    if (this.#cores.queue.remove(item)) this.#waiting -= 1;
  }

  giveUp(item: ScheduledRequest, error: ServingError): void {
    if (item.settled) return;
    if (error.code === 'cancelled') this.#counts.cancelled += 1;
    else if (error.code === 'deadline-exceeded') this.#counts.expired += 1;
    else this.#counts.refused += 1;
    this.#dequeue(item);
    this.#settle(item, () => item.reject(error));
    if (item.run?.members.every((member) => member.settled) === true) item.run.abort.abort(error);
  }

  #settle(item: ScheduledRequest, how: () => void): void {
    if (item.settled) return;
    item.settled = true;
    this.#cores.queue.leave(item);
    item.stopWaiting();
    how();
  }
}

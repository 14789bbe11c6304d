// The queue in front of one loaded graph: a thin shell around the pure policies beside it. It admits or refuses at once,
// orders by callers' shares, deadline and priority, and whenever an executor slot is free starts what pickBatch says. A request whose caller
// went away never starts; a run for which nobody waits any more is cancelled (field lesson B27). A run that ended with its
// executor is repeated once within its deadline, each member alone, so that an input that kills executors takes nobody along.
// A dynamic first dimension alone doesn't say that rows are independent (a graph may normalise over them): the first batch
// is a trial, whose members run alone as well and get those answers; batching goes on only when both agree.
//
// Invariants: every admitted request settles by its deadline; the queue never exceeds `queueDepthMax`; at most
// `runner.concurrency` runs compute, and one more waits inside the executor.
import type { GraphRunner, SequenceRun } from '../runtime/graph-runner.js';
import { RuntimeError } from '../runtime/runtime-error.js';
import { ServingError } from '../serving/serving-error.js';
import type { Clock } from '../system/clock.js';
import type { NamedTensor } from '../tensor/tensor.js';
import type { TraceContext } from '../tracing/trace-context.js';
import { admit, type PlannedRun } from './admission.js';
import { makeWay } from './make-way.js';
import { pickBatch } from './pick-batch.js';
import { rankOf } from './rank.js';
import { canBatch, concatRows, rowsOf, sameOutputs, shapeOf, splitRows } from './rows.js';
import { cancelled, displaced, servingErrorOf } from './refusals.js';
import { tracesOf } from './run-traces.js';
import { RunTimes, type RunShape } from './run-times.js';
import { RunningRuns, type Run } from './running-runs.js';
import { WaitingQueue } from './waiting-queue.js';

/** The trial's members run twice, so they are few. */
const TRIAL_MEMBERS = 2;
/**
 * While runs are so short, the way to the executor and back costs as much as they do: one more is sent ahead and waits there.
 * Longer ones are held back, where they can still be batched, overtaken and cancelled for nothing.
 */
const SEND_AHEAD_BELOW_MS = 20;
/** Beside light callers, a batch of heavy ones' may take so many times as long as a run alone. */
const HEAVY_BATCH_GROWTH = 1.25;
/** A request that runs again goes before others of its rank. */
const BEFORE_EQUALS = 1e-6;

interface SchedulerOptions {
  /** Largest number of rows of a batch of several requests; 1 = never batch. */
  readonly maxRows: number;
  readonly queueDepthMax: number;
  /** Of callers that get more or less than the others, whose weight is 1. */
  readonly callerWeights?: ReadonlyMap<string, number> | undefined;
}

interface ScheduledWork {
  readonly feeds: readonly NamedTensor[];
  /** Wanted outputs of the graph; all when empty. */
  readonly outputs: readonly string[];
  /** Monotonic. */
  readonly deadlineMs: number;
  /** 1 highest; 0 unstated. */
  readonly priority: number;
  /** Whose share it takes; empty = nobody said. */
  readonly caller: string;
  /** Of a graph that carries state: never batched (maxRows 1). */
  readonly sequence?: SequenceRun;
  /** Where its runs are told; absent = nowhere. */
  readonly trace?: TraceContext | undefined;
}

export interface ScheduledResult {
  readonly outputs: NamedTensor[];
  readonly queueUs: number;
  readonly computeUs: number;
  /** Rows of the run that this answer came from. */
  readonly batchRows: number;
  /** Number of that run; answers of one batch share it. */
  readonly runId: number;
  /** Where that run is told: of each of its members that is traced. */
  readonly traces: readonly TraceContext[];
}

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
  readonly queueDepth: number;
  readonly running: number;
}

interface Item extends PlannedRun {
  readonly work: ScheduledWork;
  readonly shape: RunShape;
  readonly rows: number;
  readonly enqueuedMs: number;
  alone: boolean;
  retried: boolean;
  settled: boolean;
  /** What the trial batch answered, to be compared with what it gets alone. */
  trial: readonly NamedTensor[] | undefined;
  run: Run<Item> | undefined;
  readonly resolve: (result: ScheduledResult) => void;
  readonly reject: (error: ServingError) => void;
  readonly stopWaiting: () => void;
}

export class Scheduler {
  readonly #runner: GraphRunner;
  readonly #options: SchedulerOptions;
  readonly #clock: Clock;
  readonly #onRun: ((rows: number, computeUs: number) => void) | undefined;
  readonly #times = new RunTimes();
  readonly #queue: WaitingQueue<Item>;
  readonly #runs: RunningRuns<Item>;
  #batches: boolean;
  /** Has a trial shown that the graph's rows are independent? */
  #rowsProven = false;
  #trial: readonly Item[] = [];
  #closed = false;
  #counts = { runs: 0, rows: 0, refused: 0, expired: 0, cancelled: 0, retried: 0, repeated: 0 };

  /** `onRun` hears of each run that ended well. */
  constructor(
    runner: GraphRunner,
    options: SchedulerOptions,
    modules: { readonly clock: Clock; readonly onRun?: (rows: number, computeUs: number) => void },
  ) {
    this.#runner = runner;
    this.#options = options;
    this.#clock = modules.clock;
    this.#onRun = modules.onRun;
    this.#queue = new WaitingQueue(options.callerWeights);
    this.#runs = new RunningRuns(runner.concurrency);
    this.#batches = options.maxRows > 1 && canBatch(runner.inputs, runner.outputs);
  }

  /**
   * Rejects with ServingError: `would-miss-deadline` or `queue-full` at once, `deadline-exceeded` at the deadline,
   * `cancelled` when the signal aborts, `invalid-argument` for feeds that the graph refuses, `failed` otherwise.
   */
  run(work: ScheduledWork, signal: AbortSignal): Promise<ScheduledResult> {
    if (this.#closed) return Promise.reject(new ServingError('not-ready', 'the model is being taken out of service'));
    if (signal.aborted) return Promise.reject(cancelled());
    const nowMs = this.#clock.monotonicMs();
    const rows = this.#batches ? rowsOf(work.feeds) : undefined;
    const shape = shapeOf(work.feeds, work.outputs, rows);
    const estimate = this.#times.estimate(shape, rows ?? 1);
    const plan = {
      account: this.#queue.enter(work.caller),
      rank: rankOf(work.deadlineMs, work.priority),
      deadlineMs: work.deadlineMs,
      costMs: estimate?.meanMs ?? 0,
      boundMs: estimate?.boundMs ?? 0,
    };
    const decision = admit(plan, {
      nowMs,
      slotsFreeMs: this.#runs.slotsFreeMs(nowMs),
      queueDepth: this.#queue.length,
      queueDepthMax: this.#options.queueDepthMax,
      turns: () => this.#queue.turns(nowMs),
      turnsWith: (candidate) => this.#queue.turnsWith(candidate, nowMs),
      lastObservedMs: this.#times.lastObservedMs,
      heavy: this.#queue.use.heavy(nowMs)(plan.account),
    });
    if (!decision.admit) {
      this.#queue.turnedAway(plan);
      this.#counts.refused += 1;
      const { code, reason, retryAfterMs } = decision;
      return Promise.reject(new ServingError(code, `refused: ${reason}`, { retryAfterMs }));
    }
    for (const other of decision.displaced) this.#abandon(other, displaced(this.#drainMs()));
    return new Promise((resolve, reject) => {
      const onAbort = (): void => this.#abandon(item, cancelled());
      const cancelTimer = this.#clock.after(Math.max(0, work.deadlineMs - nowMs), () =>
        this.#abandon(item, new ServingError('deadline-exceeded', 'the deadline passed before the answer was there')),
      );
      signal.addEventListener('abort', onAbort, { once: true });
      const item: Item = {
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
      this.#queue.add(item);
      this.#makeWay(item);
      this.#startRuns();
    });
  }

  get counts(): SchedulerCounts {
    return { ...this.#counts, queueDepth: this.#queue.length, running: this.#runs.size };
  }

  /** Expected time of a request like this one if it were asked now and alone; undefined before the first run. */
  expectedMs(feeds: readonly NamedTensor[], outputs: readonly string[]): number | undefined {
    const rows = this.#batches ? rowsOf(feeds) : undefined;
    return this.#times.estimate(shapeOf(feeds, outputs, rows), rows ?? 1)?.meanMs;
  }

  /** Takes no more work; what was admitted still runs. */
  close(): void {
    this.#closed = true;
  }

  /** What the waiting runs take all together. */
  #drainMs(): number {
    return this.#queue.all.reduce((sum, { costMs }) => sum + costMs, 0) / this.#runner.concurrency;
  }

  /** `timed` is false where a run before was ended: its slot may be free a little later. */
  #startRuns(timed = true): void {
    const { concurrency } = this.#runner;
    this.#shedHopeless();
    while (this.#queue.length > 0 && this.#runs.size <= concurrency) {
      const nowMs = this.#clock.monotonicMs();
      const { members: candidates, heavy } = this.#queue.nextInTurn(nowMs);
      const [head] = candidates;
      if (head === undefined) return;
      const ahead = head.costMs > 0 && head.costMs < SEND_AHEAD_BELOW_MS ? 1 : 0;
      if (this.#runs.size >= concurrency + ahead) return;
      const inTrial = this.#trial.some((member) => !member.settled);
      const policy = {
        maxRows: this.#batches && !inTrial ? this.#options.maxRows : 1,
        freeSlots: Math.max(1, concurrency - this.#runs.size),
        growthMax: heavy ? HEAVY_BATCH_GROWTH : Infinity,
      };
      const picked = pickBatch(candidates, this.#times, policy, nowMs);
      const members = this.#rowsProven ? picked : picked.slice(0, TRIAL_MEMBERS);
      if (!this.#rowsProven && members.length > 1) this.#trial = members;
      for (const member of members) {
        this.#queue.remove(member);
        this.#queue.began(member, nowMs);
      }
      const run = this.#runs.begin(members, nowMs, timed);
      for (const member of members) member.run = run;
      void this.#perform(run);
    }
  }

  /**
   * What can't end in time any more would only take the time of those that can: told so now, not at its deadline. An idle
   * executor still tries one, since the times may be wrong and only runs correct them.
   */
  #shedHopeless(): void {
    const nowMs = this.#clock.monotonicMs();
    const hopeless = this.#queue.all.filter(({ deadlineMs, costMs }) => nowMs + costMs > deadlineMs);
    if (this.#runs.size === 0 && hopeless.length === this.#queue.length) hopeless.shift();
    for (const item of hopeless) {
      const late = 'runs took longer than they had, and the time left does not suffice any more';
      this.#abandon(item, new ServingError('deadline-exceeded', late, { retryAfterMs: Math.ceil(item.costMs) }));
    }
  }

  async #perform(run: Run<Item>): Promise<void> {
    const { members } = run;
    const first = members[0];
    if (first === undefined) return;
    const rows = members.reduce((sum, member) => sum + member.rows, 0);
    try {
      const feeds = members.length === 1 ? first.work.feeds : concatRows(members.map((member) => member.work.feeds));
      this.#counts.runs += 1;
      this.#counts.rows += rows;
      const result = await this.#runner.run(feeds, first.work.outputs, run.abort.signal, first.work.sequence);
      this.#onRun?.(rows, result.computeUs);
      const endedMs = this.#clock.monotonicMs();
      const beganMs = run.beganMs ?? endedMs - result.computeUs / 1000;
      if (!first.retried && run.timed) this.#times.observe(first.shape, rows, endedMs - beganMs, endedMs);
      for (const member of members) this.#queue.ended(member, ((endedMs - beganMs) * member.rows) / rows, endedMs);
      this.#deliver(run, result.outputs, result.computeUs, beganMs, rows);
    } catch (cause) {
      if (run.makesWay) this.#repeat(run);
      else this.#recover(run, cause);
    } finally {
      this.#runs.ended(run, this.#clock.monotonicMs());
      this.#startRuns(!run.abort.signal.aborted);
    }
  }

  #deliver(run: Run<Item>, outputs: NamedTensor[], computeUs: number, beganMs: number, batchRows: number): void {
    const { members } = run;
    const split =
      members.length === 1
        ? [outputs]
        : splitRows(
            outputs,
            members.map((member) => member.rows),
          );
    if (split === undefined) {
      // The graph's outputs don't follow its rows: it was wrong to batch. Once is enough to know.
      this.#batches = false;
      this.#again(members);
      return;
    }
    if (members.length > 1 && !this.#rowsProven) {
      members.forEach((member, i) => (member.trial = split[i]));
      this.#again(members);
      return;
    }
    const [only] = members;
    if (only?.trial !== undefined) {
      if (sameOutputs(only.trial, outputs)) this.#rowsProven = true;
      else this.#batches = false;
    }
    const traces = tracesOf(members);
    members.forEach((member, i) => {
      const queueUs = Math.max(0, Math.round((beganMs - member.enqueuedMs) * 1000));
      this.#settle(member, () =>
        member.resolve({ outputs: split[i] ?? [], queueUs, computeUs, batchRows, runId: run.id, traces }),
      );
    });
  }

  #recover(run: Run<Item>, cause: unknown): void {
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

  /** Ends others' runs for this request, where make-way.ts says so; they run again behind it. */
  #makeWay(item: Item): void {
    const nowMs = this.#clock.monotonicMs();
    if (this.#runs.size < this.#runner.concurrency || this.#queue.turns(nowMs)[0]?.share !== item) return;
    const runs = this.#runs.all.map((run) => ({
      run,
      accounts: run.members.map(({ account }) => account),
      beganMs: run.beganMs,
      expectedMs: run.expectedMs,
      deadlineMs: Math.min(...run.members.map(({ deadlineMs }) => deadlineMs)),
      mayRepeat: run.members.every(
        (member) => !member.retried && !this.#trial.includes(member) && member.work.sequence === undefined,
      ),
    }));
    const { cancellable } = this.#runner.engine.capabilities;
    const use = (account: string): number => this.#queue.use.of(account, nowMs);
    for (const { run, beganMs } of makeWay(item, { nowMs, runs, cancellable, use })) {
      run.makesWay = true;
      this.#counts.repeated += 1;
      if (beganMs !== undefined) this.#queue.used(item.account, nowMs - beganMs, nowMs);
      run.abort.abort(new RuntimeError('cancelled', "another caller's request goes first"));
    }
  }

  /** Back into the queue, before others of their rank. Their caller's turn stays over, or they would go first again. */
  #repeat({ members }: Run<Item>): void {
    for (const member of [...members].reverse()) {
      member.run = undefined;
      if (!member.settled) this.#queue.add(member, member.rank - BEFORE_EQUALS);
    }
  }

  #again(members: readonly Item[]): void {
    for (const member of [...members].reverse()) {
      if (member.settled) continue;
      member.alone = true;
      member.run = undefined;
      this.#queue.add(member, member.rank - BEFORE_EQUALS);
    }
  }

  /** The caller went away or its time is over: out of the queue, or out of the run, which ends when it was the last. */
  #abandon(item: Item, error: ServingError): void {
    if (item.settled) return;
    if (error.code === 'cancelled') this.#counts.cancelled += 1;
    else if (error.code === 'deadline-exceeded') this.#counts.expired += 1;
    else this.#counts.refused += 1;
    this.#queue.remove(item);
    this.#settle(item, () => item.reject(error));
    if (item.run?.members.every((member) => member.settled) === true) item.run.abort.abort(error);
  }

  #settle(item: Item, how: () => void): void {
    if (item.settled) return;
    item.settled = true;
    this.#queue.leave(item);
    item.stopWaiting();
    how();
  }
}

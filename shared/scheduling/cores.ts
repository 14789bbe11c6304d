// The cores that all models of this process compute on: one queue for all their requests, and the runs that hold the cores. A thin
// shell: core-use.ts says what begins next, fair-shares.ts whose turn it is, make-way.ts which run is ended for a light caller. What
// computes elsewhere, on a GPU, has cores of its own (`apart`).
//
// Invariant: a request waits only while its graph has all the runs that it may have, or every core is held by a run that isn't
// overdue, and that is not many times as long as its own.
import type { Clock } from '../system/clock.js';
import { busyCores, coresFreeMs, nextToBegin, overdueMs, SEND_AHEAD_BELOW_MS, sharesCores } from './core-use.js';
import { makeWay } from './make-way.js';
import { hopeless } from './refusals.js';
import type { Run } from './running-runs.js';
import type { Lane, ScheduledRequest } from './scheduled-request.js';
import { WaitingQueue } from './waiting-queue.js';

interface CoresOptions {
  readonly count: number;
  /** Of callers that get more or less than the others, whose weight is 1. */
  readonly callerWeights?: ReadonlyMap<string, number> | undefined;
}

/** For status and metrics. */
interface CoresReport {
  readonly count: number;
  /** More than `count` where a run of several threads shares them with others. */
  readonly busy: number;
  /** Requests that wait, over all models. */
  readonly waiting: number;
}

export class Cores {
  readonly count: number;
  readonly queue: WaitingQueue<ScheduledRequest>;
  readonly #options: CoresOptions;
  readonly #clock: Clock;
  /** Those that have runs. */
  readonly #lanes = new Set<Lane>();
  /** The runs of all lanes, until one begins or ends. */
  #known: readonly Run<ScheduledRequest>[] | undefined;
  /** Ends the wait for the next run that may be overdue. */
  #stopWatching: (() => void) | undefined;

  constructor(options: CoresOptions, modules: { readonly clock: Clock }) {
    this.count = options.count;
    this.queue = new WaitingQueue(options.callerWeights);
    this.#options = options;
    this.#clock = modules.clock;
  }

  /** Others with the same callers' weights, for what doesn't compute on these. */
  apart(count: number): Cores {
    return new Cores({ ...this.#options, count }, { clock: this.#clock });
  }

  get report(): CoresReport {
    const busy = busyCores(this.#runs(), this.#clock.monotonicMs());
    return { count: this.count, busy, waiting: this.queue.length };
  }

  /** When each is expected to be free. */
  freeMs(nowMs: number): number[] {
    return coresFreeMs(this.count, this.#runs(), nowMs);
  }

  /** By how much a run that holds some of them may end later than expected. */
  get doubtMs(): number {
    const doubts = this.#runs().map(({ members }) => members.reduce((sum, one) => sum + one.boundMs - one.costMs, 0));
    return Math.max(0, ...doubts);
  }

  /** What the waiting runs take all together. */
  get drainMs(): number {
    return this.queue.all.reduce((sum, { costMs, lane }) => sum + costMs * lane.threads, 0) / this.count;
  }

  /** Begins what can begin. `timed` is false where a run before was ended: its cores may be free a little later. */
  dispatch(timed = true): void {
    if (this.queue.length > 0) this.#shedHopeless();
    while (this.queue.length > 0) {
      const nowMs = this.#clock.monotonicMs();
      const free = this.count - busyCores(this.#runs(), nowMs);
      const maySendAhead = [...this.#lanes].some((lane) => lane.runs.size === lane.slots);
      if (free <= 0 && !maySendAhead && (free <= -this.count || !this.#somebodyWaits)) break;
      const turns = this.queue.turns(nowMs);
      const next = nextToBegin(turns, { count: this.count, free, waitMs: this.#waitMs(nowMs) });
      if (next === undefined) break;
      const { lane } = next.share;
      const candidates = turns.filter((turn) => turn.share.lane === lane);
      const slots = Math.min(lane.slots - lane.runs.size, Math.ceil(free / lane.threads));
      const longestMs = lane.runs.size < lane.slots ? Infinity : SEND_AHEAD_BELOW_MS;
      this.#lanes.add(lane);
      this.#known = undefined;
      lane.begin({ freeSlots: Math.max(1, slots), longestMs, timed, ...this.queue.nextInTurn(nowMs, candidates) });
    }
    this.#watch();
  }

  /** A run of the lane has ended. */
  ended(lane: Lane, timed: boolean): void {
    this.#known = undefined;
    if (lane.runs.size === 0) this.#lanes.delete(lane);
    this.dispatch(timed);
  }

  /** Ends others' runs for this request, where make-way.ts says so; they run again behind it. */
  makeWay(item: ScheduledRequest): void {
    const nowMs = this.#clock.monotonicMs();
    const { lane } = item;
    const own = lane.runs.size >= lane.slots; // then another graph's run is none of its business
    if (!own && busyCores(this.#runs(), nowMs) < this.count) return;
    if (!own && sharesCores(item.costMs, this.#waitMs(nowMs))) return;
    if (this.queue.turns(nowMs)[0]?.share !== item) return;
    const lanes = own ? [lane] : [...this.#lanes];
    const runs = lanes.flatMap((other) => other.runs.all.map((run) => occupying(run, other)));
    const isHeavy = this.queue.use.heavyBeside(item.account, item.costMs, nowMs);
    for (const { run, lane: ending, beganMs } of makeWay(item, { nowMs, runs, isHeavy })) {
      if (beganMs !== undefined) this.queue.used(item.account, (nowMs - beganMs) * ending.threads, nowMs);
      ending.makeWay(run);
    }
  }

  /** For a core, and not for a run of its own graph to end? */
  get #somebodyWaits(): boolean {
    return this.queue.all.some(({ lane }) => lane.runs.size < lane.slots);
  }

  /** Until a core is expected to be free. */
  #waitMs(nowMs: number): number {
    return Math.min(...this.freeMs(nowMs)) - nowMs;
  }

  #runs(): readonly Run<ScheduledRequest>[] {
    this.#known ??= [...this.#lanes].flatMap((lane) => lane.runs.all);
    return this.#known;
  }

  /**
   * What can't end in time any more would only take the time of those that can: told so now, not at its deadline. An idle
   * executor still tries one, since the times may be wrong and only runs correct them.
   */
  #shedHopeless(): void {
    const nowMs = this.#clock.monotonicMs();
    const late = this.queue.all.filter(({ deadlineMs, costMs }) => nowMs + costMs > deadlineMs);
    if (late.length === 0) return;
    const counted = new Map<Lane, number>();
    for (const { lane } of late) counted.set(lane, (counted.get(lane) ?? 0) + 1);
    const tries = (lane: Lane): boolean => lane.runs.size === 0 && counted.get(lane) === lane.waiting;
    const tried = new Set([...counted.keys()].filter(tries));
    for (const item of late) {
      if (!tried.delete(item.lane)) item.lane.giveUp(item, hopeless(item.costMs));
    }
  }

  /** While somebody waits for a core, those of a run that becomes overdue are given away at once. */
  #watch(): void {
    this.#stopWatching?.();
    this.#stopWatching = undefined;
    if (this.queue.length === 0 || !this.#somebodyWaits) return;
    const nowMs = this.#clock.monotonicMs();
    const due = this.#runs().map((run) => overdueMs(run));
    const atMs = Math.min(...due.filter((ms) => ms > nowMs));
    if (Number.isFinite(atMs)) this.#stopWatching = this.#clock.after(atMs - nowMs, () => this.dispatch());
  }
}

function occupying(run: Run<ScheduledRequest>, lane: Lane) {
  const { members, beganMs, expectedMs } = run;
  return {
    run,
    lane,
    accounts: members.map(({ account }) => account),
    beganMs,
    expectedMs,
    deadlineMs: Math.min(...members.map(({ deadlineMs }) => deadlineMs)),
    mayRepeat: lane.mayRepeat(run),
    cancellable: lane.cancellable,
  };
}

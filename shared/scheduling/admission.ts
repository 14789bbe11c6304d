// Admission against the deadline: pure. A request that can't be answered in time is refused at once, while its caller can
// still go elsewhere, and not after it has waited (Clockwork's rule). The queue is played forward over the executor's slots,
// in the order of turns (fair-shares.ts) with the measured times and their deviations. The request is refused when it might end
// late, when it might make one late that was admitted before, or when the queue is full: what is admitted is a promise, and the
// executor has enough to do without those that are doubtful. What waits for other models counts as well: all compute on the same cores.
// An idle executor has nothing better to do: it takes what is expected to end in time, since refusing would serve nobody, and since only
// runs correct what a slow stretch has taught.
//
// But a caller who has had its share is no reason to refuse one who hasn't: what the request would make late, or has no room
// beside, is displaced where its turn comes after the request's and it is another caller's. The heavy caller's excess is
// refused, if need be a little later; the light caller is served as if the other weren't there.
import { sharesCores } from './core-use.js';
import type { Share, Turn } from './fair-shares.js';
import { HEAVY_TIMES } from './recent-use.js';

export interface PlannedRun extends Share {
  readonly deadlineMs: number;
  /** Time that its run will hardly exceed; 0 = nothing is known of the graph yet, as with `costMs`. */
  readonly boundMs: number;
  /** Its graph, the same for all its runs, which has so many at once; absent = as many as there are cores. */
  readonly lane?: { readonly slots: number; slotsFreeMs(nowMs: number): number[] };
}

export interface AdmissionView<T extends PlannedRun> {
  readonly nowMs: number;
  /** When each core is expected to be free; in the past = free now. As many as there are cores, over all models. */
  readonly slotsFreeMs: readonly number[];
  /** By how much the runs that hold the cores may end later than expected; absent = as a run like the candidate's may. */
  readonly busyDoubtMs?: number;
  /** By how much one may end later that is expected in `untilMs`, and runs for `ownMs` (slow-stretches.ts); absent = by the deviations. */
  readonly slipMs?: (untilMs: number, ownMs: number) => number;
  /** Requests of the candidate's graph that wait. */
  readonly queueDepth: number;
  readonly queueDepthMax: number;
  /** Those that wait, in the order in which they will run. */
  readonly turns: () => readonly Turn<T>[];
  /** The same with the candidate among them. */
  readonly turnsWith: (candidate: PlannedRun) => readonly Turn<T | PlannedRun>[];
  /** Monotonic time of the newest measurement. */
  readonly lastObservedMs: number;
  /**
   * The part of the cores' time that those have who are light beside the candidate's caller (recent-use.ts), and go before it; 0 = it
   * isn't heavy.
   */
  readonly lightShare: () => number;
}

export type AdmissionDecision<T> =
  | {
      readonly admit: true;
      /** Waiting requests of others that must go for it. */
      readonly displaced: readonly T[];
    }
  | {
      readonly admit: false;
      readonly code: 'queue-full' | 'would-miss-deadline';
      readonly retryAfterMs: number;
      readonly reason: string;
    };

/** An idle executor takes one request in so long whatever the estimate says: else one slow run would refuse all others forever. */
const PROBE_INTERVAL_MS = 1000;
/** They come by chance, so there may be more of them than usual. */
const RESERVED_TIMES = 2;
/** However much they have, a heavy caller may have half. */
const LIGHT_SHARE_MAX = 0.5;
/** More are not looked for at once: who is late then is told so a little later. */
const DISPLACED_MAX = 8;

export function admit<T extends PlannedRun>(candidate: PlannedRun, view: AdmissionView<T>): AdmissionDecision<T> {
  const { nowMs } = view;
  const known = candidate.costMs > 0;
  if (candidate.deadlineMs <= nowMs) {
    return wouldMiss(0, 'the deadline has passed');
  }
  const idle = view.queueDepth === 0 && view.slotsFreeMs.every((freeMs) => freeMs <= nowMs);
  const inTime = nowMs + candidate.costMs <= candidate.deadlineMs;
  if (idle && (inTime || nowMs - view.lastObservedMs > PROBE_INTERVAL_MS)) return ADMITTED;

  let order = view.turnsWith(candidate);
  const displaced: T[] = [];
  const lightShare = view.lightShare();
  const heavy = lightShare > 0;
  const room = heavy ? view.queueDepthMax * (1 - 1 / HEAVY_TIMES) : view.queueDepthMax;
  const full = view.queueDepth >= room;
  if (full) {
    const last = order.findLast(({ share }) => share.lane === candidate.lane);
    if (last === undefined || !yieldsTo(last, order, candidate)) return queueFull(view);
    displaced.push(last.share as T);
    order = order.filter((turn) => turn !== last);
  }
  if (!known) return { admit: true, displaced };

  let onTime: ReadonlySet<Share> | undefined;
  for (;;) {
    const ends = playForward(view, order, candidate);
    const at = order.findIndex(({ share }) => share === candidate);
    const { boundMs } = ends[at] ?? NOW;
    const latestMs = boundMs + (heavy ? reserveMs(boundMs - nowMs, candidate, lightShare) : 0);
    if (latestMs > candidate.deadlineMs) return late(latestMs, candidate.deadlineMs, nowMs);
    const atRisk = order.flatMap((turn, i) => {
      const end = ends[i] ?? NOW;
      return i > at && end.boundMs > turn.share.deadlineMs ? [{ turn, end }] : [];
    });
    if (atRisk.length > 0) onTime ??= onTimeWithoutIt(view);
    const hurt = atRisk.filter(({ turn }) => onTime?.has(turn.share) === true);
    const protectedOne = hurt.find(({ turn }) => !yieldsTo(turn, order, candidate));
    if (protectedOne !== undefined) {
      const lateMs = protectedOne.end.boundMs - protectedOne.turn.share.deadlineMs;
      return wouldMiss(lateMs, 'it would make a request late that was admitted before');
    }
    const next = hurt.find(({ turn, end }) => end.expectedMs > turn.share.deadlineMs)?.turn;
    if (next === undefined || displaced.length >= DISPLACED_MAX) return { admit: true, displaced };
    displaced.push(next.share as T);
    order = order.filter((turn) => turn !== next);
  }
}

const ADMITTED = { admit: true, displaced: [] } as const;

/** Is it another caller's, or of another tenant of the same, whose turn comes after the candidate's because it has had more? */
function yieldsTo<T extends Share>(turn: Turn<T>, order: readonly Turn<T>[], candidate: PlannedRun): boolean {
  const own = order.find(({ share }) => (share as Share) === candidate);
  if (own === undefined) return false;
  if (turn.share.account !== candidate.account) return turn.tag > own.tag;
  return turn.share.tenant !== candidate.tenant && (turn.within ?? 0) > (own.within ?? 0);
}

/** What a heavy caller's request leaves of its time for the light callers that may come and go first, and to run twice. */
function reserveMs(waitMs: number, { costMs }: PlannedRun, lightShare: number): number {
  const share = Math.min(LIGHT_SHARE_MAX, RESERVED_TIMES * lightShare);
  return waitMs * Math.max(1 / HEAVY_TIMES, share / (1 - share)) + 2 * costMs;
}

/** Those who wait and are expected to end in time if the candidate doesn't come. */
function onTimeWithoutIt<T extends PlannedRun>(view: AdmissionView<T>): ReadonlySet<Share> {
  const turns = view.turns();
  const ends = playForward(view, turns);
  return new Set(turns.flatMap(({ share }, i) => ((ends[i] ?? NOW).expectedMs <= share.deadlineMs ? [share] : [])));
}

function queueFull<T extends PlannedRun>(view: AdmissionView<T>) {
  const drainMs = Math.max(0, ...playForward(view, view.turns()).map(({ expectedMs }) => expectedMs - view.nowMs));
  const reason = `${view.queueDepth} requests are waiting`;
  return { admit: false, code: 'queue-full', retryAfterMs: Math.ceil(drainMs / 2), reason } as const;
}

function late(endMs: number, deadlineMs: number, nowMs: number) {
  const lateMs = Math.ceil(endMs - deadlineMs);
  return wouldMiss(lateMs, `it would end in ${Math.ceil(endMs - nowMs)} ms, ${lateMs} ms after its deadline`);
}

function wouldMiss(lateMs: number, reason: string) {
  return { admit: false, code: 'would-miss-deadline', retryAfterMs: Math.ceil(lateMs), reason } as const;
}

interface End {
  readonly expectedMs: number;
  /** When it will hardly have failed to end. */
  readonly boundMs: number;
}
const NOW: End = { expectedMs: 0, boundMs: 0 };

type PlayView = Pick<AdmissionView<PlannedRun>, 'slotsFreeMs' | 'nowMs' | 'busyDoubtMs' | 'slipMs'>;

/**
 * The end of each run when they go in order to the core that is free first. One that waits for a run of its own graph takes the core
 * that is free last before that, and so leaves the others' to those behind it. A short one that nobody waits before shares a core. Of runs one after the other the means add up, the
 * deviations as their squares, unless slow stretches are worse. A busy core's run is as uncertain as the view says, or as `like`'s.
 */
function playForward(
  { slotsFreeMs, nowMs, busyDoubtMs, slipMs = () => 0 }: PlayView,
  turns: readonly Turn<PlannedRun>[],
  like?: PlannedRun,
): End[] {
  const busy = like === undefined ? 0 : (busyDoubtMs ?? like.boundMs - like.costMs) ** 2;
  const cores = slotsFreeMs.map((ms) => ({ freeMs: Math.max(ms, nowMs), squares: ms > nowMs ? busy : 0 }));
  const lanes = new Map<PlannedRun['lane'], number[]>();
  let nobodyBefore = true;
  return turns.map(({ share }) => {
    const { lane, threads = 1, costMs, boundMs } = share;
    const few = lane !== undefined && lane.slots * threads < cores.length;
    let own = few ? slotsOf(lane, lanes, nowMs) : undefined;
    const fromMs = own?.[0] ?? nowMs;
    const core = cores.reduce((best, other) => (isBetter(other.freeMs, best.freeMs, fromMs) ? other : best));
    const long = nobodyBefore && lane !== undefined && sharesCores(costMs, core.freeMs - nowMs);
    if (long) own ??= slotsOf(lane, lanes, nowMs);
    const shares = long && (own?.[0] ?? Infinity) <= nowMs;
    nobodyBefore &&= shares || core.freeMs <= nowMs || fromMs > nowMs;
    const endMs = shares ? nowMs + 2 * costMs : Math.max(core.freeMs, fromMs) + costMs;
    core.freeMs = shares ? core.freeMs + costMs : endMs;
    core.squares += (boundMs - costMs) ** 2;
    if (own !== undefined) own.splice(0, 1, endMs);
    own?.sort((a, b) => a - b);
    for (let more = Math.min(threads, cores.length) - 1; more > 0; more -= 1) {
      const next = cores.reduce((earliest, other) => (other.freeMs < earliest.freeMs ? other : earliest));
      next.freeMs = Math.max(next.freeMs, endMs);
    }
    const doubtMs = shares ? 2 * (boundMs - costMs) : Math.sqrt(core.squares);
    return { expectedMs: endMs, boundMs: endMs + Math.max(doubtMs, slipMs(endMs - nowMs, costMs)) };
  });
}

/** Sorted. */
function slotsOf(lane: NonNullable<PlannedRun['lane']>, known: Map<unknown, number[]>, nowMs: number): number[] {
  const slots = known.get(lane) ?? lane.slotsFreeMs(nowMs).sort((a, b) => a - b);
  known.set(lane, slots);
  return slots;
}

/** For a run that can't begin before `fromMs`: the core that is free last until then, else the one that is free first. */
function isBetter(freeMs: number, thanMs: number, fromMs: number): boolean {
  if (freeMs <= fromMs) return thanMs > fromMs || freeMs > thanMs;
  return freeMs < thanMs;
}

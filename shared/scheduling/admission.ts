// Admission against the deadline: pure. A request that can't be answered in time is refused at once, while its caller can
// still go elsewhere, and not after it has waited (Clockwork's rule). The queue is played forward over the executor's slots
// with the measured times; the request is refused when it would end late, or when it would make one late that was
// admitted before.

export interface PlannedRun {
  readonly deadlineMs: number;
  readonly rank: number;
  /** Expected time of its run. */
  readonly costMs: number;
  /** Time that its run will hardly exceed. */
  readonly boundMs: number;
}

export interface AdmissionView {
  readonly nowMs: number;
  /** When each slot is expected to be free; in the past = free now. As many as there are slots. */
  readonly slotsFreeMs: readonly number[];
  /** Waiting requests in the order in which they will run. */
  readonly queue: readonly PlannedRun[];
  readonly queueDepthMax: number;
  /** Monotonic time of the newest measurement. */
  readonly lastObservedMs: number;
}

type AdmissionDecision =
  | { readonly admit: true }
  | {
      readonly admit: false;
      readonly code: 'queue-full' | 'would-miss-deadline';
      readonly retryAfterMs: number;
      readonly reason: string;
    };

/** An idle executor takes one request in so long whatever the estimate says: else one slow run would refuse all others forever. */
const PROBE_INTERVAL_MS = 1000;

/** `candidate.costMs` undefined: nothing is known of the graph yet, so it is admitted while there is room. */
export function admit(
  candidate: Omit<PlannedRun, 'costMs' | 'boundMs'> & {
    readonly costMs: number | undefined;
    readonly boundMs: number | undefined;
  },
  view: AdmissionView,
): AdmissionDecision {
  const { nowMs, queue } = view;
  if (candidate.deadlineMs <= nowMs) {
    return { admit: false, code: 'would-miss-deadline', retryAfterMs: 0, reason: 'the deadline has passed' };
  }
  if (queue.length >= view.queueDepthMax) {
    const drainMs = Math.max(0, ...playForward(view, queue, nowMs).map((end) => end - nowMs));
    return {
      admit: false,
      code: 'queue-full',
      retryAfterMs: Math.ceil(drainMs / 2),
      reason: `${queue.length} requests are waiting`,
    };
  }
  const { costMs, boundMs } = candidate;
  if (costMs === undefined || boundMs === undefined) return { admit: true };
  const idle = queue.length === 0 && view.slotsFreeMs.every((freeMs) => freeMs <= nowMs);
  if (idle && nowMs - view.lastObservedMs > PROBE_INTERVAL_MS) return { admit: true };

  const planned: PlannedRun = { deadlineMs: candidate.deadlineMs, rank: candidate.rank, costMs, boundMs };
  const at = insertionIndex(queue, candidate.rank);
  const withIt = [...queue.slice(0, at), planned, ...queue.slice(at)];
  const ends = playForward(view, withIt, nowMs);
  const endMs = (ends[at] ?? nowMs) - costMs + boundMs;
  if (endMs > candidate.deadlineMs) {
    const lateMs = Math.ceil(endMs - candidate.deadlineMs);
    return {
      admit: false,
      code: 'would-miss-deadline',
      retryAfterMs: lateMs,
      reason: `it would end in ${Math.ceil(endMs - nowMs)} ms, ${lateMs} ms after its deadline`,
    };
  }
  if (at === queue.length) return { admit: true };
  const before = playForward(view, queue, nowMs);
  for (let i = at; i < queue.length; i += 1) {
    const other = queue[i];
    const without = before[i] ?? 0;
    const after = ends[i + 1] ?? 0;
    if (other !== undefined && without <= other.deadlineMs && after > other.deadlineMs) {
      return {
        admit: false,
        code: 'would-miss-deadline',
        retryAfterMs: Math.ceil(after - other.deadlineMs),
        reason: 'it would make a request late that was admitted before',
      };
    }
  }
  return { admit: true };
}

/** Where a request of this rank goes in a queue sorted by rank; after its equals. */
export function insertionIndex(queue: readonly { readonly rank: number }[], rank: number): number {
  let low = 0;
  let high = queue.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((queue[middle]?.rank ?? Infinity) <= rank) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Expected end of each run when they go in order to the slot that is free first. */
function playForward(view: AdmissionView, runs: readonly PlannedRun[], nowMs: number): number[] {
  const slots = view.slotsFreeMs.map((freeMs) => Math.max(freeMs, nowMs));
  return runs.map((run) => {
    let earliest = 0;
    for (let i = 1; i < slots.length; i += 1) {
      if ((slots[i] ?? 0) < (slots[earliest] ?? 0)) earliest = i;
    }
    const endMs = (slots[earliest] ?? nowMs) + run.costMs;
    slots[earliest] = endMs;
    return endMs;
  });
}

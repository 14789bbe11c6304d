// Which of the waiting requests run next, decided when an executor slot is free: pure. It never waits for more to come:
// on a CPU a batch gains little or loses (measured: a text line recogniser takes 28 ms a row alone and 42 ms a row at 16),
// so only what has queued up by itself is batched, only equal shapes, and only as far as the measured times say that the
// row gets cheaper and every member still meets its deadline. Sizes not yet measured are tried by doubling, as long as the
// last doubling was no loss. While a light caller may come, who would have to wait for its end, a heavy caller's batch is kept
// about as short as a run alone: on a CPU that is a run alone, on a device that computes rows side by side still a batch.
// Where requests may be padded, those that differ in a length count as equal while little of the run is padding: what such a
// run costs is what its longest member's shape costs, and has to be less than all of them one by one.
import type { RunShape, RunTimes } from './run-times.js';

/** A measured size is believed for so long; then it is tried again when the queue offers it. */
const REMEASURE_MS = 60_000;
/** A batch must make the row at least so much cheaper to be worth its members' waiting for each other. */
const LEAST_GAIN = 0.95;

export interface Waiting {
  readonly shape: RunShape;
  readonly rows: number;
  readonly deadlineMs: number;
  /** Runs in a batch of its own: the graph can't batch, or the one before failed with it. */
  readonly alone: boolean;
}

interface BatchPolicy {
  /** Largest sum of rows of a batch of several requests. */
  readonly maxRows: number;
  /** Executor slots free now, this one included: waiting rows are shared out among them. */
  readonly freeSlots: number;
  /** A batch may take so many times as long as its first member alone; absent = as long as it likes. */
  readonly growthMax?: number;
  /** A batch may take so long; its first member alone takes what it takes. Absent = as long as it likes. */
  readonly longestMs?: number;
  /** Requests that differ in a length may share a run, of whose elements this share may be padding; absent = they may not. */
  readonly maxWaste?: number | undefined;
}

/** The members of the next run, from `queue` in its order (most urgent first). Empty only when the queue is. */
export function pickBatch<W extends Waiting>(
  queue: readonly W[],
  times: RunTimes,
  policy: BatchPolicy,
  nowMs: number,
): readonly W[] {
  const head = queue[0];
  if (head === undefined) return [];
  if (head.alone || policy.maxRows <= head.rows) return [head];
  const pads = policy.maxWaste !== undefined;
  const fitting = queue.filter((waiting) => !waiting.alone && mayShare(waiting.shape, head.shape, pads));
  const waitingRows = fitting.reduce((sum, waiting) => sum + waiting.rows, 0);
  const share = Math.max(head.rows, Math.ceil(waitingRows / Math.max(1, policy.freeSlots)));
  const rowsMax = Math.min(policy.maxRows, share);

  const members: W[] = [];
  let { shape } = head;
  let rows = 0;
  let used = 0; // rows x their lengths
  let best = 1;
  /** What a member costs in the batch against alone. */
  let bestCost = LEAST_GAIN;
  let lastCost = 1;
  let aloneMs = 0;
  let longestMs = Infinity;
  let earliestMs = Infinity;
  for (const waiting of fitting) {
    if (rows + waiting.rows > rowsMax) break;
    const longest = longerOf(shape, waiting.shape);
    const usedNow = used + waiting.rows * lengthIn(waiting.shape);
    const elements = (rows + waiting.rows) * lengthIn(longest);
    if (elements - usedNow > elements * (policy.maxWaste ?? 0)) continue;
    members.push(waiting);
    [shape, used] = [longest, usedNow];
    rows += waiting.rows;
    earliestMs = Math.min(earliestMs, waiting.deadlineMs);
    const estimate = times.estimate(shape, rows);
    if (estimate === undefined) break; // nothing measured yet: the first run goes alone
    if (members.length === 1) {
      aloneMs = estimate.meanMs;
      longestMs = Math.min(policy.longestMs ?? Infinity, estimate.meanMs * (policy.growthMax ?? Infinity));
      continue;
    }
    aloneMs += times.estimate(waiting.shape, waiting.rows)?.meanMs ?? Infinity;
    if (nowMs + estimate.boundMs > earliestMs) break; // larger ones only end later
    if (!times.isMeasured(shape, rows, nowMs, REMEASURE_MS)) {
      if (rows <= 2 * times.largestRows(shape) && isPowerOfTwo(rows) && lastCost <= 1) return members.slice();
      continue;
    }
    if (estimate.meanMs > longestMs) break;
    lastCost = estimate.meanMs / aloneMs;
    if (lastCost < bestCost) {
      bestCost = lastCost;
      best = members.length;
    }
  }
  return members.slice(0, best);
}

function mayShare(a: RunShape, b: RunShape, pads: boolean): boolean {
  if (a.ragged === undefined || b.ragged === undefined) return a.key === b.key;
  return a.ragged.family === b.ragged.family && (pads || a.ragged.length === b.ragged.length);
}

function lengthIn({ ragged }: RunShape): number {
  return ragged?.length ?? 1;
}

/** The shape of a run of both. */
export function longerOf(a: RunShape, b: RunShape): RunShape {
  return lengthIn(b) > lengthIn(a) ? b : a;
}

function isPowerOfTwo(value: number): boolean {
  return (value & (value - 1)) === 0;
}

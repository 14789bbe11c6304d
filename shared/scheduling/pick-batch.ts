// Which of the waiting requests run next, decided when an executor slot is free: pure. It never waits for more to come:
// on a CPU a batch gains little or loses (measured: a text line recogniser takes 28 ms a row alone and 42 ms a row at 16),
// so only what has queued up by itself is batched, only equal shapes, and only as far as the measured times say that the
// row gets cheaper and every member still meets its deadline. Sizes not yet measured are tried by doubling, as long as the
// last doubling was no loss. While a light caller may come, who would have to wait for its end, a heavy caller's batch is kept
// about as short as a run alone: on a CPU that is a run alone, on a device that computes rows side by side still a batch.
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
  const fitting = queue.filter((waiting) => !waiting.alone && waiting.shape.key === head.shape.key);
  const waitingRows = fitting.reduce((sum, waiting) => sum + waiting.rows, 0);
  const share = Math.max(head.rows, Math.ceil(waitingRows / Math.max(1, policy.freeSlots)));
  const rowsMax = Math.min(policy.maxRows, share);

  const members: W[] = [];
  let rows = 0;
  let best = 1;
  let bestRowMs = Infinity;
  let aloneRowMs = Infinity;
  let lastRowMs = Infinity;
  let longestMs = Infinity;
  let earliestMs = Infinity;
  const largest = times.largestRows(head.shape);
  for (const waiting of fitting) {
    if (rows + waiting.rows > rowsMax) break;
    members.push(waiting);
    rows += waiting.rows;
    earliestMs = Math.min(earliestMs, waiting.deadlineMs);
    const estimate = times.estimate(head.shape, rows);
    if (estimate === undefined) break; // nothing measured yet: the first run goes alone
    if (members.length === 1) {
      aloneRowMs = estimate.meanMs / rows;
      lastRowMs = aloneRowMs;
      bestRowMs = aloneRowMs * LEAST_GAIN;
      longestMs = estimate.meanMs * (policy.growthMax ?? Infinity);
      continue;
    }
    if (nowMs + estimate.boundMs > earliestMs) break; // larger ones only end later
    if (!times.isMeasured(head.shape, rows, nowMs, REMEASURE_MS)) {
      if (rows <= 2 * largest && isPowerOfTwo(rows) && lastRowMs <= aloneRowMs) return members.slice();
      continue;
    }
    if (estimate.meanMs > longestMs) break;
    lastRowMs = estimate.meanMs / rows;
    if (lastRowMs < bestRowMs) {
      bestRowMs = lastRowMs;
      best = members.length;
    }
  }
  return members.slice(0, best);
}

function isPowerOfTwo(value: number): boolean {
  return (value & (value - 1)) === 0;
}

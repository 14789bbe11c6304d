// The order of the queue: pure. Earliest deadline first, which meets all deadlines whenever any order does, shifted by
// priority. A level is worth a fixed time and not an absolute rule, so that low priorities wait longer but never starve.

/** One level of priority yields to the next higher one's deadlines up to so much later. */
const LEVEL_MS = 1000;
const LOWEST_LEVEL = 10;
const DEFAULT_LEVEL = 2;

/** Smaller runs first. `priority` as in the protocol: 1 highest, 0 unstated. */
export function rankOf(deadlineMs: number, priority: number): number {
  const level = priority <= 0 ? DEFAULT_LEVEL : Math.min(priority, LOWEST_LEVEL);
  return deadlineMs + level * LEVEL_MS;
}

// What the schedulers of a model's graphs counted, in one. Pure.
import type { SchedulerCounts } from '../scheduling/scheduler.js';

const NONE: SchedulerCounts = {
  runs: 0,
  rows: 0,
  refused: 0,
  expired: 0,
  cancelled: 0,
  retried: 0,
  repeated: 0,
  padded: 0,
  queueDepth: 0,
  running: 0,
};

export function summedCounts(all: readonly SchedulerCounts[]): SchedulerCounts {
  const sum = { ...NONE };
  for (const counts of all) {
    for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += counts[key];
  }
  return sum;
}

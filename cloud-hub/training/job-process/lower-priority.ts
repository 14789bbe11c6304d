// A training job gives way to whatever serves: all its threads take a lower priority, and when memory runs out it is the first to go.
// On Linux a priority is a thread's own, and Node has started some before any of our code runs; later ones take after the main thread.
import { readdirSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import type { Log } from '@tidegate/shared/system/log.js';

const NICE = 10;
/** Above that of an executor, which is 500. */
const OOM_SCORE_ADJUST = '800';

export function lowerPriority(log: Log): void {
  try {
    setPriority(NICE);
    if (process.platform !== 'linux') return;
    for (const thread of readdirSync('/proc/self/task')) setPriority(Number(thread), NICE);
    writeFileSync('/proc/self/oom_score_adj', OOM_SCORE_ADJUST);
  } catch (error) {
    log.warn({ reason: (error as Error).message }, 'the priority could not be lowered');
  }
}

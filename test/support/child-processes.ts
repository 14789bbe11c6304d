// The processes that this one has started and not yet waited for, by which of its threads started them. Linux only.
import { readdirSync, readFileSync } from 'node:fs';

/** Pids of the children of one thread; absent = of all threads, the pool's too, which start executors. */
export function childPids(thread?: number): number[] {
  const threads = thread === undefined ? readdirSync('/proc/self/task') : [thread];
  return threads.flatMap((tid) => childrenOf(tid));
}

function childrenOf(tid: number | string): number[] {
  try {
    return readFileSync(`/proc/self/task/${tid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return []; // a thread that has ended meanwhile
  }
}

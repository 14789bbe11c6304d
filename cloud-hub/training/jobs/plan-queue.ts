// Which jobs start, and which make room. Pure. Larger priorities first, then the older; a job that runs gives way only to a strictly
// larger priority, the smallest and youngest first, and only as many as have to: those already leaving count.

export interface WaitingJob {
  readonly id: string;
  readonly priority: number;
  readonly createdAt: string;
}

export interface RunningJob extends WaitingJob {
  /** Told to end already; its place is free soon. */
  readonly leaving: boolean;
}

interface QueuePlan {
  /** In this order. */
  readonly start: readonly string[];
  readonly preempt: readonly string[];
}

export function planQueue(waiting: readonly WaitingJob[], running: readonly RunningJob[], slots: number): QueuePlan {
  const queue = [...waiting].sort(byTurn);
  const start = queue.splice(0, Math.max(0, slots - running.length)).map(({ id }) => id);
  let leaving = running.filter((job) => job.leaving).length;
  const stayers = running.filter((job) => !job.leaving).sort(byTurn);
  const preempt: string[] = [];
  for (const next of queue) {
    if (leaving > 0) {
      leaving -= 1; // that place is for this one
      continue;
    }
    const last = stayers.at(-1);
    if (last === undefined || last.priority >= next.priority) break;
    stayers.pop();
    preempt.push(last.id);
  }
  return { start, preempt };
}

function byTurn(a: WaitingJob, b: WaitingJob): number {
  if (a.priority !== b.priority) return b.priority - a.priority;
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}

// How a run's state is shown, and what it allows.
import type { Job } from '@tidegate/shared/wire/training-api.js';

export const TONE: Readonly<Record<Job['state'], string>> = {
  queued: 'idle',
  running: 'busy',
  preempted: 'warn',
  publishing: 'busy',
  succeeded: 'good',
  failed: 'bad',
  cancelled: 'idle',
};

/** Is there more to come of it? */
export function isOpen(job: Pick<Job, 'state'>): boolean {
  return mayCancel(job) || job.state === 'publishing';
}

/** A result that is being published is past stopping. */
export function mayCancel({ state }: Pick<Job, 'state'>): boolean {
  return state === 'queued' || state === 'running' || state === 'preempted';
}

/** 0 to 1; a run that ended well is whole whatever its last progress said. */
export function shareDone({ state, progress }: Pick<Job, 'state' | 'progress'>): number {
  if (state === 'succeeded' || state === 'publishing') return 1;
  return progress === undefined || progress.steps === 0 ? 0 : Math.min(1, progress.step / progress.steps);
}

import { describe, expect, it } from 'vitest';
import { isOpen, mayCancel, shareDone, TONE } from '@tidegate/cloud-hub/console/training/job-state.js';
import { JOB_STATES } from '@tidegate/shared/wire/training-api.js';

describe('the state of a run', () => {
  it('is open until it has ended, and can be cancelled until its result is published', () => {
    expect(JOB_STATES.filter((state) => isOpen({ state }))).toEqual(['queued', 'running', 'preempted', 'publishing']);
    expect(JOB_STATES.filter((state) => mayCancel({ state }))).toEqual(['queued', 'running', 'preempted']);
  });

  it('has a colour, whatever it is', () => {
    expect(Object.keys(TONE).sort()).toEqual([...JOB_STATES].sort());
  });

  it('is done by the share of its steps, and wholly once there is a result', () => {
    const progress = { step: 30, steps: 120, epoch: 0.5 };
    expect(shareDone({ state: 'running', progress })).toBe(0.25);
    expect(shareDone({ state: 'succeeded', progress })).toBe(1);
    expect(shareDone({ state: 'queued' })).toBe(0);
    expect(shareDone({ state: 'running', progress: { ...progress, steps: 0 } })).toBe(0);
  });
});

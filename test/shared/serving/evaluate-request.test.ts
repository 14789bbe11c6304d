// The caller is answered by the deadline, whatever still runs. What the runs of a request bring is held by served-model.test.ts.
import { describe, expect, it } from 'vitest';
import { inTime } from '@tidegate/shared/serving/evaluate-request.js';
import { ManualClock } from '../../support/manual-clock.js';

const never = new AbortController().signal;

/** A run that nothing ends, and what it was told. */
function endless() {
  let told: AbortSignal | undefined;
  const run = (signal: AbortSignal): Promise<never> => {
    told = signal;
    return new Promise(() => undefined);
  };
  return { run, reason: (): unknown => told?.reason };
}

describe('a request in time', () => {
  it('is answered with what its run brings, and leaves no timer', async () => {
    const clock = new ManualClock();
    expect(await inTime(50, clock, never, async () => 'answer')).toBe('answer');
    await expect(inTime(50, clock, never, () => Promise.reject(new Error('its own')))).rejects.toThrow('its own');
    expect(clock.timerCount).toBe(0);
  });

  it('is refused a millisecond after its deadline although the run goes on, which is told so', async () => {
    const clock = new ManualClock();
    const { run, reason } = endless();
    const answer = inTime(50, clock, never, run);
    clock.advance(50);
    expect(reason()).toBeUndefined(); // the scheduler's own error, which says more, may still come
    clock.advance(1);
    await expect(answer).rejects.toMatchObject({ code: 'deadline-exceeded' });
    expect(reason()).toMatchObject({ code: 'deadline-exceeded' });
  });

  it('is over when its caller goes away, or had gone before', async () => {
    const [caller, gone] = [new AbortController(), endless()];
    const answer = inTime(50, new ManualClock(), caller.signal, gone.run);
    caller.abort();
    await expect(answer).rejects.toMatchObject({ code: 'cancelled' });
    expect(gone.reason()).toMatchObject({ code: 'cancelled' });
    await expect(inTime(50, new ManualClock(), caller.signal, endless().run)).rejects.toMatchObject({
      code: 'cancelled',
    });
  });
});

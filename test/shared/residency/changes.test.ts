import { Changes } from '@tidegate/shared/residency/changes.js';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../support/manual-clock.js';

const never = new AbortController().signal;

describe('waiting for a change', () => {
  it('ends for all who wait when something changed, and for those to come only at the next', async () => {
    const changes = new Changes(new ManualClock());
    const waiting = [changes.next(Infinity, never), changes.next(5000, never)];
    changes.happened();
    await Promise.all(waiting);
    let ended = false;
    const later = changes.next(Infinity, never).then(() => (ended = true));
    await Promise.resolve();
    expect(ended).toBe(false);
    changes.happened();
    await later;
  });

  it('ends at its time where nothing changes', async () => {
    const clock = new ManualClock();
    const wait = new Changes(clock).next(clock.monotonicMs() + 100, never);
    clock.advance(100);
    await wait;
  });

  it('ends with who waited for it, and leaves no timer behind', async () => {
    const clock = new ManualClock();
    const caller = new AbortController();
    const wait = new Changes(clock).next(clock.monotonicMs() + 100, caller.signal);
    caller.abort();
    await expect(wait).rejects.toMatchObject({ code: 'cancelled' });
    expect(clock.timerCount).toBe(0);
    await expect(new Changes(clock).next(Infinity, caller.signal)).rejects.toMatchObject({ code: 'cancelled' });
  });
});

import { describe, expect, it } from 'vitest';
import { raceToEnd } from '@tidegate/edge-agent/router/split-race.js';
import { settle } from '../../support/fake-graph-runner.js';
import { ManualClock } from '../../support/manual-clock.js';

function setUp(patienceMs: number, letEndMs = 0) {
  const clock = new ManualClock();
  const caller = new AbortController();
  const signals: Partial<Record<'there' | 'here', AbortSignal>> = {};
  const ends: Partial<Record<'there' | 'here', { yes(): void; no(text: string): void }>> = {};
  const side = (name: 'there' | 'here') => (signal: AbortSignal) =>
    new Promise<string>((resolve, reject) => {
      signals[name] = signal;
      ends[name] = { yes: () => resolve(name), no: (text) => reject(new Error(text)) };
    });
  const raced = raceToEnd({ there: side('there'), here: side('here'), patienceMs, letEndMs }, clock, caller.signal);
  raced.catch(() => undefined);
  return { clock, caller, signals, ends, raced };
}

describe('raceToEnd', () => {
  it('leaves it to the other machine when it answers within patience', async () => {
    const { clock, ends, signals, raced } = setUp(100);
    clock.advance(99);
    await settle();
    ends.there?.yes();
    expect(await raced).toEqual({ by: 'there', value: 'there' });
    expect(signals.here).toBeUndefined();
    expect(clock.timerCount).toBe(0);
  });

  it('goes on here at once when it fails, and says why', async () => {
    const { ends, raced } = setUp(100);
    ends.there?.no('connection reset');
    await settle();
    ends.here?.yes();
    expect(await raced).toEqual({ by: 'here', value: 'here', because: 'connection reset' });
  });

  it('goes on here when patience is over, and takes whichever is first', async () => {
    for (const first of ['there', 'here'] as const) {
      const { clock, ends, signals, raced } = setUp(100);
      clock.advance(100);
      await settle();
      ends[first]?.yes();
      expect(await raced).toMatchObject({ by: first, value: first });
      expect(signals[first === 'here' ? 'there' : 'here']?.aborted).toBe(true);
    }
  });

  it('lets the other machine end where its time is wanted', async () => {
    const { clock, ends, signals, raced } = setUp(0, 500);
    clock.advance(0);
    await settle();
    ends.here?.yes();
    expect(await raced).toMatchObject({ by: 'here', because: 'no answer within 0 ms' });
    expect(signals.there?.aborted).toBe(false);
    ends.there?.no('too late for anyone to hear');
    await settle();
    expect(clock.timerCount).toBe(0);
    const slow = setUp(0, 500);
    slow.clock.advance(0);
    await settle();
    slow.ends.here?.yes();
    await slow.raced;
    slow.clock.advance(500);
    expect(slow.signals.there?.aborted).toBe(true);
  });

  it('waits for the other machine when the device fails, and fails as the device did when both do', async () => {
    const both = setUp(0);
    both.clock.advance(0);
    await settle();
    both.ends.here?.no('out of memory');
    await settle();
    both.ends.there?.yes();
    expect(await both.raced).toMatchObject({ by: 'there' });
    const none = setUp(100);
    none.ends.there?.no('connection reset');
    await settle();
    none.ends.here?.no('out of memory');
    await expect(none.raced).rejects.toThrow('out of memory');
  });

  it('starts nothing here for a caller who went away', async () => {
    const { caller, ends, signals, raced } = setUp(100);
    caller.abort(new Error('gone'));
    ends.there?.no('aborted');
    await expect(raced).rejects.toThrow('gone');
    expect(signals.here).toBeUndefined();
  });
});

import { afterEach, describe, expect, it } from 'vitest';
import { prewarmDue, startPrewarm } from '@tidegate/edge-agent/engine/prewarm.js';
import { ManualClock } from '../../support/manual-clock.js';

const at = (hours: number, minutes: number, day = 5): number => new Date(2026, 2, day, hours, minutes).getTime();

describe('prewarmDue', () => {
  it('is once for each time of the day, in local time', () => {
    const times = ['06:30', '13:00'];
    const due = (from: number, to: number): boolean => prewarmDue(times, from, to);
    expect(due(at(6, 29), at(6, 30))).toBe(true);
    expect(due(at(6, 30), at(6, 31))).toBe(false);
    expect(due(at(12, 59), at(13, 1))).toBe(true);
    expect(due(at(13, 1), at(23, 59))).toBe(false);
    expect(due(at(23, 59), at(6, 31, 6))).toBe(true);
    expect(prewarmDue([], at(0, 0), at(23, 0))).toBe(false);
  });

  it('takes a time that a clock jumped over as come', () => {
    expect(prewarmDue(['06:30'], at(6, 0, 1), at(7, 0, 20))).toBe(true);
    expect(prewarmDue(['06:30'], at(7, 0), at(6, 0))).toBe(false);
  });
});

describe('startPrewarm', () => {
  let stop = (): void => undefined;
  afterEach(() => stop());

  it('warms each model at its times, a minute late at most, until it is stopped', () => {
    const clock = new ManualClock(at(6, 0));
    const warmed: string[] = [];
    stop = startPrewarm(
      {
        names: () => ['early', 'never'],
        prewarmTimes: (name) => (name === 'early' ? ['06:30'] : []),
        warm: (name) => warmed.push(name),
      },
      clock,
    );
    clock.advance(29 * 60_000);
    expect(warmed).toEqual([]);
    clock.advance(2 * 60_000);
    expect(warmed).toEqual(['early']);
    clock.advance(24 * 3_600_000);
    expect(warmed).toEqual(['early', 'early']);
    stop();
    expect(clock.timerCount).toBe(0);
  });
});

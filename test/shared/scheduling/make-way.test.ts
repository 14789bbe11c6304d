import { describe, expect, it } from 'vitest';
import { makeWay, type OccupyingRun } from '@tidegate/shared/scheduling/make-way.js';

const run = (part: Partial<OccupyingRun> = {}): OccupyingRun => ({
  accounts: ['heavy'],
  beganMs: 0,
  expectedMs: 30,
  deadlineMs: 1000,
  mayRepeat: true,
  cancellable: true,
  ...part,
});
const ask = (runs: readonly OccupyingRun[], { nowMs = 5 } = {}) =>
  makeWay({ costMs: 30 }, { nowMs, runs, isHeavy: (account) => ['heavy', 'other'].includes(account) });

describe('makeWay', () => {
  it('takes back what was sent ahead, and ends the run that has done least', () => {
    const [done, fresh, ahead] = [run(), run({ beganMs: 4 }), run({ beganMs: undefined })];
    expect(ask([done, fresh, ahead])).toEqual([ahead, fresh]);
  });

  it('only takes back where the engine ends no runs, or one ends soon anyway', () => {
    const ahead = run({ beganMs: undefined });
    expect(ask([run({ cancellable: false }), ahead])).toEqual([ahead]);
    expect(ask([run(), ahead], { nowMs: 27 })).toEqual([ahead]);
    expect(ask([run(), run({ beganMs: 20 })], { nowMs: 27 })).toEqual([]);
  });

  it('leaves callers alone that are not heavy beside it', () => {
    expect(ask([run({ accounts: ['small'] })])).toEqual([]);
    expect(ask([run({ accounts: ['heavy', 'small'] })])).toEqual([]);
    expect(ask([run({ accounts: ['heavy', 'other'] })])).toHaveLength(1);
  });

  it('ends nothing that could not run again in time, or must not', () => {
    expect(ask([run({ deadlineMs: 94 })])).toEqual([]);
    expect(ask([run({ deadlineMs: 95 })])).toHaveLength(1);
    expect(ask([run({ mayRepeat: false })])).toEqual([]);
    expect(ask([run(), run({ beganMs: undefined, mayRepeat: false })])).toEqual([]);
  });
});

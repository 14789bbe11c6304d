import { RunningRuns } from '@tidegate/shared/scheduling/running-runs.js';
import { describe, expect, it } from 'vitest';

const of = (...costs: number[]): { costMs: number }[] => costs.map((costMs) => ({ costMs }));

describe('runs in one executor', () => {
  it('compute in as many slots as there are; one more waits inside until a slot is free', () => {
    const runs = new RunningRuns(2);
    const [first, second, ahead] = [10, 20, 30].map((nowMs) => runs.begin(of(5), nowMs, true));
    expect([first, second, ahead].map((run) => run?.beganMs)).toEqual([10, 20, undefined]);
    if (second !== undefined) runs.ended(second, 40);
    expect(runs.all.map(({ id, beganMs }) => [id, beganMs])).toEqual([
      [1, 10],
      [3, 40],
    ]);
  });

  it('say when each slot will be free, with what waits inside counted in', () => {
    const runs = new RunningRuns<{ costMs: number }>(2);
    expect(runs.slotsFreeMs(100)).toEqual([100, 100]);
    runs.begin(of(30, 10), 100, true);
    expect(runs.slotsFreeMs(110)).toEqual([140, 110]);
    runs.begin(of(50), 110, true);
    runs.begin(of(7), 115, true);
    expect(runs.slotsFreeMs(120)).toEqual([147, 160]);
    expect(runs.slotsFreeMs(1000)).toEqual([1007, 1000]); // late, so at any moment; what waits has yet to run
  });
});

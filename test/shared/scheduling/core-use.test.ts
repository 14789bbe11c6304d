import { describe, expect, it } from 'vitest';
import { busyCores, coresFreeMs, nextToBegin, overdueMs } from '@tidegate/shared/scheduling/core-use.js';

const run = (beganMs: number | undefined, expectedMs = 10, threads = 1) => ({ beganMs, expectedMs, threads });

describe('an overdue run', () => {
  it('took four times what was expected, 30 ms at least, a second where nothing was', () => {
    expect([run(100, 10), run(100, 1), run(100, 0), run(undefined)].map(overdueMs)).toEqual([140, 130, 1100, Infinity]);
  });

  it('keeps no cores, nor does what waits inside an executor', () => {
    const runs = [run(0, 10, 2), run(50, 10), run(undefined)];
    expect(busyCores(runs, 39)).toBe(3);
    expect(busyCores(runs, 40)).toBe(1);
  });
});

describe('when cores are free', () => {
  it('counts what computes, then what waits inside', () => {
    expect(coresFreeMs(2, [], 100)).toEqual([100, 100]);
    expect(coresFreeMs(2, [run(undefined, 5), run(90, 30), run(95, 10)], 100)).toEqual([110, 120]);
    expect(coresFreeMs(3, [run(100, 30, 2)], 100)).toEqual([130, 130, 100]);
  });

  it('takes a late run to end at any moment, and an overdue one to hold nothing', () => {
    expect(coresFreeMs(1, [run(0, 30)], 50)).toEqual([50]);
    expect(coresFreeMs(1, [run(0, 30), run(undefined, 7)], 50)).toEqual([57]);
    expect(coresFreeMs(2, [run(0, 10, 2), run(45, 10)], 50)).toEqual([55, 50]);
  });
});

describe('nextToBegin', () => {
  const turn = (name: string, size: number, slots: number, costMs = 30) => ({
    share: { name, costMs, lane: { runs: { size }, slots } },
  });
  const next = (turns: ReturnType<typeof turn>[], coreIsFree = true, waitMs = 10) =>
    nextToBegin(turns, { count: 2, free: coreIsFree ? 1 : 0, waitMs })?.share.name;

  it('is the first in turn while a core is free', () => {
    expect(next([turn('a', 0, 1), turn('b', 0, 1)])).toBe('a');
    expect(next([turn('a', 0, 1)], false)).toBeUndefined();
  });

  it('is the next one where the first waits for a run of its own graph', () => {
    expect(next([turn('a', 1, 1), turn('b', 0, 1)])).toBe('b');
    expect(next([turn('a', 1, 1), turn('b', 0, 1)], false)).toBeUndefined();
  });

  it('is sent ahead where its graph computes all it may and its runs are short', () => {
    expect(next([turn('a', 2, 2, 5)], false)).toBe('a');
    expect(next([turn('a', 2, 2, 20)], false)).toBeUndefined();
    expect(next([turn('a', 2, 2, 0)], false)).toBeUndefined();
    expect(next([turn('a', 3, 2, 5)], false)).toBeUndefined(); // one is
    expect(next([turn('a', 1, 2, 5)], false)).toBeUndefined(); // it would compute at once
  });

  it('shares a core with a run that has four times as long to go, a few at a time', () => {
    expect(next([turn('a', 1, 2, 5)], false, 20)).toBe('a');
    expect(next([turn('a', 1, 2, 5)], false, 19)).toBeUndefined();
    expect(next([turn('a', 1, 2, 0)], false, 1000)).toBeUndefined(); // nobody knows how short it is
    expect(next([turn('b', 0, 2, 50), turn('a', 1, 2, 5)], false, 20)).toBeUndefined(); // it is not its turn
    expect(nextToBegin([turn('a', 1, 2, 5)], { count: 2, free: -1, waitMs: 20 })).toBeDefined();
    expect(nextToBegin([turn('a', 1, 2, 5)], { count: 2, free: -2, waitMs: 20 })).toBeUndefined();
  });

  it('never goes before who waits for a core, sent ahead or not', () => {
    expect(next([turn('b', 0, 2), turn('a', 2, 2, 5)], false)).toBeUndefined();
    expect(next([turn('c', 1, 1), turn('a', 1, 1, 5)], false)).toBeUndefined();
  });
});

import { describe, expect, it } from 'vitest';
import { bucketOf } from '@tidegate/shared/scheduling/padding-rule.js';
import { RunTimes, type RunShape } from '@tidegate/shared/scheduling/run-times.js';

const shape = { key: 'a', rowBytes: 100 };

describe('RunTimes', () => {
  it('knows nothing before the first run', () => {
    expect(new RunTimes().estimate(shape, 1)).toBeUndefined();
  });

  it('forgets a slow first run when the second is faster', () => {
    const times = new RunTimes();
    times.observe(shape, 1, 500, 0);
    times.observe(shape, 1, 10, 500);
    expect(times.estimate(shape, 1)?.meanMs).toBe(10);
  });

  it('converges to what it measures and bounds what varies', () => {
    const times = new RunTimes();
    for (let i = 0; i < 200; i += 1) times.observe(shape, 1, i % 2 === 0 ? 8 : 12, i);
    const estimate = times.estimate(shape, 1);
    expect(estimate?.meanMs).toBeGreaterThan(9);
    expect(estimate?.meanMs).toBeLessThan(12);
    expect(estimate?.boundMs).toBeGreaterThan(12);
  });

  it('scales from the nearest measured rows, and by size for a shape never seen', () => {
    const times = new RunTimes();
    times.observe(shape, 2, 20, 0);
    expect(times.estimate(shape, 4)?.meanMs).toBe(40);
    expect(times.estimate({ key: 'b', rowBytes: 200 }, 1)?.meanMs).toBe(20);
  });

  it('takes rows beyond those measured for what they cost, not for what else held a run up', () => {
    const times = new RunTimes();
    for (const ms of [2, 2, 90, 2, 120, 2]) times.observe(shape, 1, ms, 0);
    const one = times.estimate(shape, 1);
    const many = times.estimate(shape, 512);
    expect(one?.boundMs).toBeGreaterThan(50);
    expect(many?.meanMs).toBeGreaterThan(512 * 2);
    expect(many?.boundMs).toBeLessThan(3 * 4 * 512 * 2); // however slow the device is for the moment
    for (let i = 0; i < 300; i += 1) times.observe(shape, 1, 6, i); // it got hot
    expect(times.estimate(shape, 512)?.meanMs).toBeGreaterThan(500 * 6);
  });

  it('follows a device that gets slow within a few runs, for all shapes, and forgets it again', () => {
    const times = new RunTimes();
    const other = { key: 'b', rowBytes: 100 };
    for (let i = 0; i < 20; i += 1) for (const one of [shape, other]) times.observe(one, 1, 10, i);
    for (let i = 0; i < 4; i += 1) times.observe(shape, 1, 30, i);
    expect(times.estimate(other, 1)?.meanMs).toBeGreaterThan(17);
    for (let i = 0; i < 12; i += 1) times.observe(other, 1, 10, i);
    expect(times.estimate(other, 1)?.meanMs).toBeLessThan(11);
  });

  it('remembers slow stretches, of any shape, by what was usual before them', () => {
    const times = new RunTimes();
    for (let i = 0; i < 16; i += 1) times.observe(shape, 1, i < 4 ? 10 : 30, 10 * i); // too few to know what is usual
    for (let i = 16; i < 100; i += 1) times.observe(shape, 1, 10, 10 * i);
    expect(times.slipMs(1000, 10, 1000)).toBe(100); // what may come unseen
    for (let i = 1; i <= 20; i += 1) times.observe(shape, 1, 20, 1000 + 20 * i);
    expect(times.slipMs(1000, 10, 1400)).toBeGreaterThan(150);
  });

  it('remembers a bounded number of shapes', () => {
    const times = new RunTimes();
    for (let i = 0; i < 1000; i += 1) times.observe({ key: String(i), rowBytes: 1 }, 1, 1000, i);
    times.observe({ key: 'last', rowBytes: 1 }, 1, 1, 0);
    expect(times.largestRows({ key: '0', rowBytes: 1 })).toBe(0);
    expect(times.largestRows({ key: '999', rowBytes: 1 })).toBe(1);
  });
});

it('knows the least that feeds of some size took, and any feeds', () => {
  const times = new RunTimes();
  expect(times.least(8)).toBeUndefined();
  for (const [key, rowBytes, rows, ms] of [
    ['a', 4, 1, 9],
    ['b', 6, 1, 4],
    ['b', 6, 2, 7],
    ['c', 12, 1, 20],
  ] as const)
    times.observe({ key, rowBytes }, rows, ms, 0);
  const mean = (bytes?: number): number | undefined => times.least(bytes)?.meanMs;
  expect([mean(4), mean(6), mean(12)]).toEqual([9, 4, 7]); // two rows of b, or one of c
  expect([mean(), mean(5), mean(0)]).toEqual([4, 4, 4]);
  expect(times.least(12)).toEqual(times.estimate({ key: 'b', rowBytes: 6 }, 2));
});

it('does not judge an unread request by its bytes where lengths that differ a little are measured as one', () => {
  const times = new RunTimes();
  const ofLength = (length: number): RunShape => ({
    key: `f${bucketOf(length)}`,
    rowBytes: length * 8,
    ragged: { family: 'f', length },
  });
  times.observe(ofLength(2), 1, 10, 0);
  times.observe(ofLength(23), 1, 12, 0);
  expect(times.least(22 * 8)?.meanMs).toBe(10); // not eleven rows of length 2
});

it('takes what a run that was ended had taken for the least, until one ends by itself', () => {
  const times = new RunTimes();
  const shape = { key: 'a', rowBytes: 4 };
  times.atLeast(shape, 1, 60, 0);
  times.atLeast(shape, 1, 20, 0);
  expect(times.estimate(shape, 1)).toEqual({ meanMs: 60, boundMs: 60 });
  times.atLeast(shape, 1, 100, 0);
  expect(times.estimate(shape, 1)?.meanMs).toBe(100);
  times.observe(shape, 1, 40, 0); // it had only waited for a core
  times.atLeast(shape, 1, 30_000, 0); // it hung
  expect(times.estimate(shape, 1)?.meanMs).toBe(40);
});

import { expect, it } from 'vitest';
import { chooseThreads, isImplausible, threadCountsBeyondOne } from '@tidegate/shared/serving/choose-threads.js';

const DEADLINE_MS = 30_000;
const measure = (threads: number, runMs: number) => ({ threads, runMs });

it('tries powers of two, and all cores', () => {
  expect([1, 2, 3, 4, 6, 8].map(threadCountsBeyondOne)).toEqual([[], [2], [2, 3], [2, 4], [2, 4, 6], [2, 4, 8]]);
});

it('leaves one thread where nothing else was measured', () => {
  expect(chooseThreads([], DEADLINE_MS)).toMatchObject({ threads: 1, reason: 'nothing could be measured' });
  expect(chooseThreads([measure(1, 0.24)], DEADLINE_MS)).toMatchObject({
    threads: 1,
    reason: 'a run takes 0.2 ms with 1 thread: too short for more',
  });
});

it('takes more threads where they shorten a run and cost little throughput', () => {
  const measured = [measure(1, 40), measure(2, 22)];
  expect(chooseThreads(measured, DEADLINE_MS)).toEqual({
    threads: 2,
    reason: 'a run takes 40 ms with 1 thread and 22 ms with 2, which leaves 91% of the throughput',
    measured,
  });
});

it('takes the shortest of those that pay', () => {
  const counts = [measure(1, 100), measure(2, 52), measure(4, 30), measure(8, 24)];
  expect(chooseThreads(counts, DEADLINE_MS).threads).toBe(4);
});

it('keeps one where others would pay for it, or nobody would notice', () => {
  expect(chooseThreads([measure(1, 40), measure(2, 27)], DEADLINE_MS)).toMatchObject({
    threads: 1,
    reason: 'a run takes 40 ms with 1 thread and 27 ms with 2: more threads cost more throughput than they are worth',
  });
  expect(chooseThreads([measure(1, 40), measure(2, 45)], DEADLINE_MS).threads).toBe(1);
});

it('takes the fastest where one thread is too slow for a deadline', () => {
  const choice = chooseThreads([measure(1, 40_000), measure(2, 30_000), measure(4, 20_000)], DEADLINE_MS);
  expect(choice).toMatchObject({ threads: 4, reason: expect.stringContaining('default deadline') as string });
});

it('tells by more gain than threads can give that the one was slowed by something else', () => {
  expect(isImplausible([measure(1, 45), measure(2, 13)])).toBe(true);
  expect(isImplausible([measure(1, 40), measure(2, 30), measure(4, 9)])).toBe(true);
  expect(isImplausible([measure(1, 40), measure(2, 19.5), measure(4, 10)])).toBe(false);
  expect(isImplausible([measure(1, 40)])).toBe(false);
  expect(isImplausible([])).toBe(false);
});

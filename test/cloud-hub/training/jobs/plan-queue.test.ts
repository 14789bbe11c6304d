import { planQueue, type RunningJob, type WaitingJob } from '@tidegate/cloud-hub/training/jobs/plan-queue.js';
import fc from 'fast-check';
import { expect, test } from 'vitest';

const waits = (id: string, priority: number, createdAt: string): WaitingJob => ({ id, priority, createdAt });
const runs = (id: string, priority: number, createdAt: string, leaving = false): RunningJob => ({
  id,
  priority,
  createdAt,
  leaving,
});

test('the larger priority first, then the older', () => {
  const queue = [waits('a', 0, '2'), waits('b', 0, '1'), waits('c', 1, '3')];
  expect(planQueue(queue, [], 2)).toEqual({ start: ['c', 'b'], preempt: [] });
});

test('no places, nothing runs', () => {
  expect(planQueue([waits('a', 100, '1')], [], 0)).toEqual({ start: [], preempt: [] });
});

test('only a strictly larger priority makes another leave: the smallest, and of these the youngest', () => {
  expect(planQueue([waits('a', 1, '9')], [runs('b', 1, '1')], 1).preempt).toEqual([]);
  const running = [runs('b', 0, '1'), runs('c', 0, '2'), runs('d', 5, '3')];
  expect(planQueue([waits('a', 1, '9')], running, 3).preempt).toEqual(['c']);
  expect(planQueue([waits('a', 9, '8'), waits('e', 9, '9')], running, 3).preempt).toEqual(['c', 'b']);
});

test('one that leaves already makes its place for one', () => {
  const running = [runs('b', 0, '1', true), runs('c', 0, '2')];
  expect(planQueue([waits('a', 5, '9')], running, 2).preempt).toEqual([]);
  expect(planQueue([waits('a', 5, '8'), waits('e', 5, '9')], running, 2).preempt).toEqual(['c']);
});

test('never more run than there are places, and nobody leaves for one that is not larger', () => {
  const job = fc.record({ priority: fc.integer({ min: -2, max: 2 }), createdAt: fc.constantFrom('1', '2', '3') });
  const leaving = fc.boolean();
  fc.assert(
    fc.property(fc.array(job), fc.array(fc.tuple(job, leaving)), fc.nat(4), (queue, active, extra) => {
      const waiting = queue.map((one, at) => ({ ...one, id: `w${at}` }));
      const running = active.map(([one, isLeaving], at) => ({ ...one, id: `r${at}`, leaving: isLeaving }));
      const places = running.length + extra;
      const { start, preempt } = planQueue(waiting, running, places);
      expect(running.length + start.length).toBeLessThanOrEqual(places);
      const largest = Math.max(...waiting.filter(({ id }) => !start.includes(id)).map(({ priority }) => priority));
      for (const id of preempt) {
        const left = running.find((one) => one.id === id)!;
        expect(left.leaving).toBe(false);
        expect(left.priority).toBeLessThan(largest);
      }
    }),
  );
});

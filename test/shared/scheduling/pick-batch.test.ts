import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bucketOf } from '@tidegate/shared/scheduling/padding-rule.js';
import { pickBatch, type Waiting } from '@tidegate/shared/scheduling/pick-batch.js';
import { RunTimes } from '@tidegate/shared/scheduling/run-times.js';

const shape = { key: 'a', rowBytes: 4 };
const policy = { maxRows: 8, freeSlots: 1 };

function waiting(count: number, deadlineMs = 1e6): Waiting[] {
  return Array.from({ length: count }, () => ({ shape, rows: 1, deadlineMs, alone: false }));
}

/** Times of 1, 2, 4 and 8 rows. */
function measured(perRows: Readonly<Record<number, number>>): RunTimes {
  const times = new RunTimes();
  for (const [rows, ms] of Object.entries(perRows)) {
    for (let i = 0; i < 20; i += 1) times.observe(shape, Number(rows), ms, 0);
  }
  return times;
}

describe('pickBatch', () => {
  it('runs the first request of a graph alone', () => {
    expect(pickBatch(waiting(8), new RunTimes(), policy, 0)).toHaveLength(1);
  });

  it('tries sizes not measured yet by doubling', () => {
    expect(pickBatch(waiting(8), measured({ 1: 10 }), policy, 0)).toHaveLength(2);
    expect(pickBatch(waiting(8), measured({ 1: 10, 2: 12 }), policy, 0)).toHaveLength(4);
  });

  it('does not try larger ones where the last was a loss', () => {
    expect(pickBatch(waiting(8), measured({ 1: 10, 2: 24 }), policy, 0)).toHaveLength(1);
  });

  it('batches where the row gets cheaper, and not where it does not', () => {
    const gains = measured({ 1: 10, 2: 12, 4: 16, 8: 24 });
    const loses = measured({ 1: 28, 2: 56, 4: 115, 8: 300 });
    expect(pickBatch(waiting(8), gains, policy, 0)).toHaveLength(8);
    expect(pickBatch(waiting(8), loses, policy, 0)).toHaveLength(1);
  });

  it('shares the queue out among free slots', () => {
    const gains = measured({ 1: 10, 2: 12, 4: 16, 8: 24 });
    expect(pickBatch(waiting(8), gains, { maxRows: 8, freeSlots: 2 }, 0)).toHaveLength(4);
  });

  it('makes no batch that would be late for a member', () => {
    const gains = measured({ 1: 10, 2: 12, 4: 16, 8: 24 });
    expect(pickBatch(waiting(8, 18), gains, policy, 0)).toHaveLength(4);
  });

  it('grows no batch beyond what light callers may be made to wait', () => {
    const onCpu = measured({ 1: 10, 2: 18, 4: 32, 8: 60 });
    const onGpu = measured({ 1: 10, 2: 10.5, 4: 11, 8: 14 });
    const beside = { ...policy, growthMax: 1.25 };
    expect([onCpu, onGpu].map((times) => pickBatch(waiting(8), times, policy, 0).length)).toEqual([8, 8]);
    expect([onCpu, onGpu].map((times) => pickBatch(waiting(8), times, beside, 0).length)).toEqual([1, 4]);
  });

  it('takes no longer than it may, but for a request that takes longer by itself', () => {
    const times = measured({ 1: 10, 2: 12, 4: 16, 8: 24 });
    const members = (longestMs: number): number => pickBatch(waiting(8), times, { ...policy, longestMs }, 0).length;
    expect([24, 20, 12, 5].map(members)).toEqual([8, 4, 2, 1]);
  });

  it('goes past an odd shape at the head of the queue instead of cutting the batch behind it', () => {
    const gains = measured({ 1: 10, 2: 12, 4: 16, 8: 24 });
    const odd: Waiting = { shape: { key: 'odd', rowBytes: 4 }, rows: 1, deadlineMs: 1e6, alone: false };
    const [first, ...rest] = waiting(8);
    const picked = pickBatch([first as Waiting, odd, ...rest], gains, policy, 0);
    expect(picked).toHaveLength(8);
    expect(picked).not.toContain(odd);
  });

  it('keeps its promises for any queue', () => {
    const gains = measured({ 1: 10, 2: 12, 4: 16, 8: 24 });
    const item = fc.record({
      shape: fc.constantFrom(shape, { key: 'b', rowBytes: 4 }),
      rows: fc.integer({ min: 1, max: 12 }),
      deadlineMs: fc.integer({ min: 1, max: 200 }),
      alone: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(item, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 4 }),
        (queue, freeSlots) => {
          const picked = pickBatch(queue, gains, { maxRows: 8, freeSlots }, 0);
          expect(picked[0]).toBe(queue[0]);
          expect(new Set(picked).size).toBe(picked.length);
          if (picked.length > 1) {
            expect(picked.every((one) => !one.alone && one.shape.key === picked[0]?.shape.key)).toBe(true);
            expect(picked.reduce((sum, one) => sum + one.rows, 0)).toBeLessThanOrEqual(8);
          }
        },
      ),
    );
  });

  describe('where requests may be padded', () => {
    const ofLength = (length: number): Waiting => ({
      shape: { key: `${bucketOf(length)} f`, rowBytes: length * 8, ragged: { family: 'f', length } },
      rows: 1,
      deadlineMs: 1e6,
      alone: false,
    });
    /** A run costs 2 ms and so much for each element. */
    function runsOf(elementMs: number, startMs = 2): RunTimes {
      const times = new RunTimes();
      for (const length of [10, 20, 32, 40, 48, 56]) {
        for (const rows of [1, 2, 4, 8]) {
          for (let i = 0; i < 20; i += 1)
            times.observe(ofLength(length).shape, rows, startMs + elementMs * rows * length, 0);
        }
      }
      return times;
    }
    const lengths = (queue: readonly number[], times: RunTimes, maxWaste?: number): number[] =>
      pickBatch(queue.map(ofLength), times, { ...policy, maxWaste }, 0).map(
        ({ shape: { ragged } }) => ragged?.length ?? 0,
      );

    it('runs those of different lengths together, equal ones always', () => {
      expect(lengths([40, 38, 37, 39], runsOf(0.01), 0.25)).toEqual([40, 38, 37, 39]);
      expect(lengths([40, 38, 37, 39], runsOf(0.01))).toEqual([40]);
      expect(lengths([40, 38, 40, 40, 40], runsOf(0.01))).toEqual([40, 40, 40, 40]);
    });

    it('leaves out what would make too much of the run padding', () => {
      expect(lengths([56, 10, 54, 9, 52, 50], runsOf(0.01), 0.25)).toEqual([56, 54, 52, 50]);
      expect(lengths([10, 56], runsOf(0.01), 0.25)).toEqual([10]);
      expect(lengths([10, 56], runsOf(0.01), 0.5)).toEqual([10, 56]);
    });

    it('pads only where the run costs less than all of them one by one', () => {
      expect(lengths([40, 32], runsOf(1, 20), 0.25)).toEqual([40, 32]); // 100 against 112
      expect(lengths([40, 32], runsOf(1), 0.25)).toEqual([40]); // 82 against 76: padding costs more than the start saves
    });

    it('never exceeds the share of padding, whatever waits', () => {
      const times = runsOf(0.01);
      fc.assert(
        fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 }), (queue) => {
          const picked = lengths(queue, times, 0.25);
          const elements = picked.length * Math.max(...picked);
          expect(picked[0]).toBe(queue[0]);
          expect(elements - picked.reduce((sum, one) => sum + one, 0)).toBeLessThanOrEqual(0.25 * elements);
        }),
      );
    });
  });
});

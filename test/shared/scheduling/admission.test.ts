import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { admit, insertionIndex, type AdmissionView, type PlannedRun } from '@tidegate/shared/scheduling/admission.js';

const run = (deadlineMs: number, costMs = 10): PlannedRun => ({
  deadlineMs,
  rank: deadlineMs,
  costMs,
  boundMs: costMs,
});
const view = (part: Partial<AdmissionView> = {}): AdmissionView => ({
  nowMs: 0,
  slotsFreeMs: [0],
  queue: [],
  queueDepthMax: 10,
  lastObservedMs: 0,
  ...part,
});

describe('admit', () => {
  it('takes what meets its deadline and refuses what would not, saying when to come again', () => {
    const queue = [run(100), run(200), run(300)];
    expect(admit(run(400), view({ queue })).admit).toBe(true);
    expect(admit(run(35, 10), view({ queue: [run(20), run(30), run(32)] }))).toMatchObject({
      admit: false,
      code: 'would-miss-deadline',
      retryAfterMs: 5,
    });
  });

  it('counts the run that holds the slot', () => {
    expect(admit(run(50), view({ slotsFreeMs: [45], queue: [] }))).toMatchObject({ code: 'would-miss-deadline' });
    expect(admit(run(50), view({ slotsFreeMs: [45, 0], queue: [] }))).toEqual({ admit: true });
  });

  it('refuses what would make an admitted request late', () => {
    const queue = [run(21, 20)];
    expect(admit({ ...run(20.5, 5), rank: 1 }, view({ queue }))).toMatchObject({
      code: 'would-miss-deadline',
      reason: expect.stringContaining('admitted before') as string,
    });
  });

  it('does not count those against it that are late anyway', () => {
    expect(admit({ ...run(15, 10), rank: 1 }, view({ queue: [run(5, 10)] })).admit).toBe(true);
  });

  it('bounds the queue, also while nothing is measured', () => {
    const queue = Array.from({ length: 10 }, () => run(1e6));
    const unknown = { deadlineMs: 1e6, rank: 1, costMs: undefined, boundMs: undefined };
    expect(admit(unknown, view({ queue }))).toMatchObject({ admit: false, code: 'queue-full' });
    expect(admit(unknown, view({ queue: queue.slice(1) }))).toEqual({ admit: true });
  });

  it('refuses a deadline that has passed', () => {
    expect(admit(run(0), view())).toMatchObject({ admit: false, code: 'would-miss-deadline' });
  });

  it('lets one request in so often try an idle executor whatever was measured', () => {
    const slow = run(100, 3000);
    expect(admit(slow, view({ nowMs: 1, lastObservedMs: 0 }))).toMatchObject({ admit: false });
    expect(admit({ ...slow, deadlineMs: 2100 }, view({ nowMs: 2000, lastObservedMs: 0 }))).toEqual({ admit: true });
  });

  it('admits only what a simulated executor then finishes in time', () => {
    const arrival = fc.record({
      gapMs: fc.integer({ min: 0, max: 15 }),
      deadlineMs: fc.integer({ min: 1, max: 120 }),
      costMs: fc.integer({ min: 1, max: 20 }),
    });
    fc.assert(
      fc.property(fc.array(arrival, { maxLength: 60 }), (arrivals) => {
        let nowMs = 0;
        let freeMs = 0;
        const queue: PlannedRun[] = [];
        const work = (untilMs: number): void => {
          while (queue.length > 0 && freeMs <= untilMs) {
            const next = queue.shift() as PlannedRun;
            freeMs = Math.max(freeMs, nowMs) + next.costMs;
            expect(freeMs).toBeLessThanOrEqual(next.deadlineMs);
          }
        };
        for (const { gapMs, deadlineMs, costMs } of arrivals) {
          work(nowMs + gapMs);
          nowMs += gapMs;
          const candidate = { deadlineMs: nowMs + deadlineMs, rank: nowMs + deadlineMs, costMs, boundMs: costMs };
          const decision = admit(candidate, view({ nowMs, slotsFreeMs: [freeMs], queue, lastObservedMs: nowMs }));
          if (decision.admit) queue.splice(insertionIndex(queue, candidate.rank), 0, candidate);
          work(nowMs);
        }
        work(Infinity);
      }),
      { numRuns: 300 },
    );
  });
});

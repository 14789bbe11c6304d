import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { admit, type AdmissionView, type PlannedRun } from '@tidegate/shared/scheduling/admission.js';
import { WaitingQueue } from '@tidegate/shared/scheduling/waiting-queue.js';

const run = (deadlineMs: number, costMs = 10, account = ''): PlannedRun => ({
  account,
  deadlineMs,
  rank: deadlineMs,
  costMs,
  boundMs: costMs,
});

interface View extends Omit<AdmissionView<PlannedRun>, 'turns' | 'turnsWith' | 'queueDepth'> {
  readonly queue: readonly PlannedRun[];
}

/** `served`: milliseconds that callers have had before. */
function view(part: Partial<View> = {}, served: Readonly<Record<string, number>> = {}): AdmissionView<PlannedRun> {
  const { queue = [], ...rest } = part;
  const waiting = new WaitingQueue<PlannedRun>();
  for (const [caller, servedMs] of Object.entries(served)) {
    waiting.enter(caller);
    waiting.began(run(0, servedMs, caller), 0);
  }
  for (const one of queue) {
    waiting.enter(one.account);
    waiting.add(one);
  }
  return {
    nowMs: 0,
    slotsFreeMs: [0],
    queueDepth: queue.length,
    queueDepthMax: 10,
    lastObservedMs: 0,
    lightShare: () => 0,
    turns: () => waiting.turns(0),
    turnsWith: (candidate) => waiting.turnsWith(candidate, 0),
    ...rest,
  };
}
const ADMITTED = { admit: true, displaced: [] };

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
    expect(admit(run(50), view({ slotsFreeMs: [45, 0], queue: [] }))).toEqual(ADMITTED);
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
    const unknown = { ...run(1e6, 0), rank: 1 };
    expect(admit(unknown, view({ queue }))).toMatchObject({ admit: false, code: 'queue-full' });
    expect(admit(unknown, view({ queue: queue.slice(1) }))).toEqual(ADMITTED);
  });

  it('refuses a deadline that has passed', () => {
    expect(admit(run(0), view())).toMatchObject({ admit: false, code: 'would-miss-deadline' });
  });

  it('lets one request in so often try an idle executor whatever was measured', () => {
    const slow = run(100, 3000);
    expect(admit(slow, view({ nowMs: 1, lastObservedMs: 0 }))).toMatchObject({ admit: false });
    expect(admit({ ...slow, deadlineMs: 2100 }, view({ nowMs: 2000, lastObservedMs: 0 }))).toEqual(ADMITTED);
  });

  it('counts deviations: those of runs one after the other grow with the root of their number', () => {
    const uneven = (deadlineMs: number): PlannedRun => ({ ...run(deadlineMs), boundMs: 16 });
    const queue = [uneven(1000), uneven(1001), uneven(1002)];
    expect(admit({ ...uneven(51), rank: 1003 }, view({ queue }))).toMatchObject({ code: 'would-miss-deadline' });
    expect(admit({ ...uneven(52), rank: 1003 }, view({ queue }))).toEqual(ADMITTED); // 4 * 10 + sqrt(4) * 6
  });

  it('takes on an idle executor what is expected to end in time, however uncertain: refusing would serve nobody', () => {
    const doubtful = { ...run(15), boundMs: 30 };
    expect(admit(doubtful, view())).toEqual(ADMITTED);
    expect(admit({ ...doubtful, deadlineMs: 9 }, view())).toMatchObject({ code: 'would-miss-deadline' });
    expect(admit(doubtful, view({ slotsFreeMs: [1] }))).toMatchObject({ code: 'would-miss-deadline' });
  });

  it('counts how slow the device may get while it waits, where that is more than the deviations', () => {
    const slow = { queue: [run(1000), run(1001)], slipMs: (untilMs: number, ownMs: number) => (untilMs - ownMs) / 2 };
    expect(admit({ ...run(39.9), rank: 1002 }, view(slow))).toMatchObject({ code: 'would-miss-deadline' });
    expect(admit({ ...run(40), rank: 1002 }, view(slow))).toEqual(ADMITTED); // 3 * 10 + 20 / 2
    const uneven = { ...run(46), boundMs: 22, rank: 1002 };
    expect(admit(uneven, view({ ...slow, slipMs: () => 5 }))).toEqual(ADMITTED);
    expect(admit(uneven, view({ ...slow, slipMs: () => 17 }))).toMatchObject({ code: 'would-miss-deadline' });
    const first = { ...run(1, 5), rank: 1, deadlineMs: 900 }; // and others' promises keep that room too
    const promised = { ...slow, queue: [run(20), run(31)] };
    expect(admit(first, view(promised))).toMatchObject({ code: 'would-miss-deadline' });
    expect(admit(first, view({ ...promised, slipMs: () => 0 }))).toEqual(ADMITTED);
  });

  it('counts how uncertain the runs of other models are that hold the cores', () => {
    const busy = { slotsFreeMs: [45], busyDoubtMs: 30 };
    expect(admit(run(84), view(busy))).toMatchObject({ code: 'would-miss-deadline' });
    expect(admit(run(85), view(busy))).toEqual(ADMITTED); // 45 + 10 + 30
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
          const candidate = run(nowMs + deadlineMs, costMs);
          const decision = admit(candidate, view({ nowMs, slotsFreeMs: [freeMs], queue, lastObservedMs: nowMs }));
          if (decision.admit) queue.splice(queue.filter(({ rank }) => rank <= candidate.rank).length, 0, candidate);
          work(nowMs);
        }
        work(Infinity);
      }),
      { numRuns: 300 },
    );
  });

  describe('when one caller has had more than its share', () => {
    const heavy = Array.from({ length: 10 }, (_, i) => run(500 + i, 10, 'heavy'));

    it('takes another caller although the queue is full, and the last of the heavy one goes', () => {
      const decision = admit(run(1000, 10, 'light'), view({ queue: heavy }, { heavy: 10, light: 0 }));
      expect(decision).toEqual({ admit: true, displaced: [heavy[9]] });
    });

    it("refuses the heavy one's next", () => {
      expect(admit(run(100, 10, 'heavy'), view({ queue: heavy }, { heavy: 10 }))).toMatchObject({ code: 'queue-full' });
    });

    it('displaces what the light one makes late, and nothing else', () => {
      const queue = [run(10, 10, 'heavy'), run(1000, 10, 'heavy')];
      const decision = admit(run(500, 10, 'light'), view({ queue }, { heavy: 10, light: 0 }));
      expect(decision).toEqual({ admit: true, displaced: [queue[0]] });
    });

    it('refuses the light one for what is late by its own run alone', () => {
      expect(admit(run(9, 10, 'light'), view({ queue: heavy }, { heavy: 10, light: 0 }))).toMatchObject({
        code: 'would-miss-deadline',
      });
    });

    it('protects callers within their shares from each other', () => {
      const queue = [run(10, 10, 'a')];
      expect(admit({ ...run(500, 10, 'b'), rank: 1 }, view({ queue }))).toMatchObject({
        code: 'would-miss-deadline',
        reason: expect.stringContaining('admitted before') as string,
      });
    });

    it('lets a heavy caller keep room and time free for light ones', () => {
      const queue = Array.from({ length: 9 }, () => run(1000, 10, 'heavy'));
      expect(admit(run(1000, 10, 'heavy'), view({ queue, lightShare: () => 0.02 }))).toMatchObject({
        code: 'queue-full',
      });
      expect(admit(run(1000, 10, 'heavy'), view({ queue }))).toEqual(ADMITTED);
      const few = { queue: queue.slice(0, 4), lightShare: () => 0.02 };
      expect(admit(run(1075, 10, 'heavy'), view(few))).toEqual(ADMITTED); // ends at 50; + 2 runs + a tenth of the wait
      expect(admit({ ...run(74, 10, 'heavy'), rank: 1001 }, view(few))).toMatchObject({ code: 'would-miss-deadline' });
      expect(admit({ ...run(75, 10, 'heavy'), rank: 1001 }, view(few))).toEqual(ADMITTED);
      // Of those that have a sixth of the time, twice as many as usual may come: half of the wait. Many more don't count: as long again.
      for (const [lightShare, endMs] of [
        [1 / 6, 95],
        [0.9, 120],
      ] as const) {
        const asked = (deadlineMs: number) =>
          admit({ ...run(deadlineMs, 10, 'heavy'), rank: 1001 }, view({ ...few, lightShare: () => lightShare }));
        expect(asked(endMs - 1)).toMatchObject({ code: 'would-miss-deadline' });
        expect(asked(endMs + 0.01)).toEqual(ADMITTED);
      }
    });

    it('never refuses the light one for what the heavy one has waiting, however much that is', () => {
      const queue = Array.from({ length: 9 }, (_, i) => run(10 * (i + 1), 10, 'heavy'));
      const served = { heavy: 10, light: 0 };
      const decision = admit(run(500, 100, 'light'), view({ queue, queueDepthMax: 20 }, served));
      expect(decision).toEqual({ admit: true, displaced: queue.slice(0, 8) });
      const doubtful = queue.map((one) => ({ ...one, boundMs: 60, deadlineMs: one.deadlineMs + 15 })); // late at worst
      const kept = admit(run(500, 10, 'light'), view({ queue: doubtful, queueDepthMax: 20 }, served));
      expect(kept).toEqual(ADMITTED);
    });
  });
});

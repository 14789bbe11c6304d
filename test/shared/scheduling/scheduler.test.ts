import { describe, expect, it } from 'vitest';
import { RuntimeError } from '@tidegate/shared/runtime/runtime-error.js';
import type { ScheduledResult } from '@tidegate/shared/scheduling/scheduled-request.js';
import { Scheduler } from '@tidegate/shared/scheduling/scheduler.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { float32Of } from '@tidegate/shared/tensor/tensor.js';
import { feedOf, FakeGraphRunner, settle, type FakeRunnerOptions } from '../../support/fake-graph-runner.js';
import { ManualClock } from '../../support/manual-clock.js';

function setUp(options: FakeRunnerOptions = {}, limits: { maxRows?: number; queueDepthMax?: number } = {}) {
  const clock = new ManualClock();
  const runner = new FakeGraphRunner(clock, options);
  const scheduler = new Scheduler(runner, { maxRows: 8, queueDepthMax: 64, ...limits }, { clock });
  const ask = (
    value: number,
    timeoutMs = 10_000,
    signal = new AbortController().signal,
    caller = '',
  ): Promise<ScheduledResult> =>
    scheduler.run(
      { feeds: feedOf(value), outputs: [], deadlineMs: clock.monotonicMs() + timeoutMs, priority: 0, caller },
      signal,
    );
  return { clock, runner, scheduler, ask };
}

const valueOf = (result: ScheduledResult): number => float32Of(result.outputs[0] ?? feedOf(0)[0]!)[0] ?? Number.NaN;
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'answered',
    (error: unknown) => (error instanceof ServingError ? error.code : String(error)),
  );

/** Lets simulated time pass until the promise settles. */
async function play<T>(clock: ManualClock, promise: Promise<T>): Promise<T> {
  const settled = new AbortController();
  void promise.finally(() => settled.abort()).catch(() => undefined);
  for (let i = 0; i < 10_000; i += 1) {
    await settle();
    if (settled.signal.aborted) break;
    clock.advance(1);
  }
  return promise;
}

describe('Scheduler', () => {
  it('gives each of many concurrent requests its own answer, in batches where they gain', async () => {
    const { clock, runner, scheduler, ask } = setUp({ durationMs: (rows) => 10 + rows });
    const values = Array.from({ length: 180 }, (_, i) => i);
    for (const wave of [values.slice(0, 60), values.slice(60, 120), values.slice(120)]) {
      const results = await play(clock, Promise.all(wave.map((value) => ask(value, 60_000))));
      expect(results.map(valueOf)).toEqual(wave.map((value) => value * 2));
    }
    expect(runner.runs.some((run) => run.rows === 8)).toBe(true);
    expect(scheduler.counts.runs).toBeLessThan(150);
  });

  it('says of each run in whose traces it is told, and of one that nobody traces nothing', async () => {
    const { clock, scheduler } = setUp({ durationMs: (rows) => 10 + rows });
    const ask = (i: number): Promise<ScheduledResult> => {
      const spanId = String(i).padStart(16, '0');
      const trace = i % 3 === 0 ? undefined : { traceId: 'a'.repeat(32), spanId, sampled: true, state: undefined };
      const work = { feeds: feedOf(i), outputs: [], deadlineMs: clock.monotonicMs() + 60_000, priority: 0, caller: '' };
      return scheduler.run({ ...work, trace }, new AbortController().signal);
    };
    const results = await play(clock, Promise.all(Array.from({ length: 60 }, (_, i) => ask(i))));
    const traced = (runId: number): string[] =>
      results.flatMap((result, i) => (result.runId === runId && i % 3 > 0 ? [String(i).padStart(16, '0')] : []));
    expect(results.some(({ runId }) => traced(runId).length > 2)).toBe(true);
    for (const { runId, traces } of results) expect(traces.map(({ spanId }) => spanId).sort()).toEqual(traced(runId));
  });

  it('does not batch a graph whose rows get no cheaper', async () => {
    const { clock, runner, ask } = setUp({ durationMs: (rows) => 28 * rows + rows * rows });
    await play(clock, Promise.all(Array.from({ length: 64 }, (_, i) => ask(i, 60_000))));
    const batched = runner.runs.filter((run) => run.rows > 1);
    expect(batched.length).toBeLessThan(8); // the trial and the measurements only
  });

  it('stops batching a graph that mixes rows, and answers as if each had been alone', async () => {
    const { clock, runner, ask } = setUp({
      durationMs: (rows) => 10 + rows,
      compute: (input) => input.map((value) => value - input.reduce((sum, one) => sum + one, 0) / input.length),
    });
    const results = await play(clock, Promise.all(Array.from({ length: 40 }, (_, i) => ask(i, 60_000))));
    expect(results.map(valueOf)).toEqual(Array.from({ length: 40 }, () => 0));
    expect(runner.runs.filter((run) => run.rows > 1)).toHaveLength(1);
  });

  it('never starts a request whose caller went away, and cancels a run that nobody waits for (B27)', async () => {
    const { runner, scheduler, ask } = setUp();
    const [first, second] = [new AbortController(), new AbortController()];
    const running = codeOf(ask(1, 10_000, first.signal));
    const queued = codeOf(ask(2, 10_000, second.signal));
    second.abort();
    expect(await queued).toBe('cancelled');
    first.abort();
    expect(await running).toBe('cancelled');
    await settle();
    expect(runner.runs).toHaveLength(1);
    expect(runner.runs[0]?.signal.aborted).toBe(true);
    expect(scheduler.counts).toMatchObject({ cancelled: 2, running: 0, queueDepth: 0 });
  });

  it('keeps a batch running for those who still wait', async () => {
    const { clock, runner, ask } = setUp({ durationMs: (rows) => 30 + rows });
    await play(clock, Promise.all(Array.from({ length: 40 }, (_, i) => ask(i, 60_000))));
    const goes = new AbortController();
    const blocker = ask(0, 60_000);
    const [left, stays] = [codeOf(ask(1, 60_000, goes.signal)), ask(2, 60_000)];
    const before = runner.runs.length;
    while (runner.runs.length === before) await play(clock, blocker).then(settle);
    expect(runner.runs.at(-1)?.rows).toBe(2);
    goes.abort();
    expect(await left).toBe('cancelled');
    expect(runner.runs.at(-1)?.signal.aborted).toBe(false);
    expect(valueOf(await play(clock, stays))).toBe(4);
  });

  it('expires in the queue and in a run, at the deadline', async () => {
    const { clock, runner, ask } = setUp();
    const [running, queued] = [codeOf(ask(1, 100)), codeOf(ask(2, 50))];
    clock.advance(50);
    expect(await queued).toBe('deadline-exceeded');
    clock.advance(50);
    expect(await running).toBe('deadline-exceeded');
    expect(runner.runs[0]?.signal.aborted).toBe(true);
  });

  it('refuses at once what would miss its deadline, with the time to come again', async () => {
    const { clock, runner, ask } = setUp({ durationMs: () => 20 }, { maxRows: 1 });
    for (let i = 0; i < 5; i += 1) await play(clock, ask(i));
    const busy = [ask(1), ask(2), ask(3)];
    const error = await ask(4, 30).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'would-miss-deadline' });
    expect((error as ServingError).retryAfterMs).toBeGreaterThanOrEqual(10);
    await play(clock, Promise.all(busy));
    expect(runner.runs).toHaveLength(8);
  });

  it('knows what it would refuse with whatever it carried, and keeps nothing of it', async () => {
    const { clock, runner, scheduler, ask } = setUp({ durationMs: () => 20 }, { maxRows: 1, queueDepthMax: 3 });
    const refusal = (timeoutMs: number, caller = '', bytes?: number) =>
      scheduler.refusal({ deadlineMs: clock.monotonicMs() + timeoutMs, priority: 0, caller, bytes })?.code;
    for (let i = 0; i < 5; i += 1) await play(clock, ask(i));
    const crowded = (timeoutMs: number) => scheduler.crowded(clock.monotonicMs() + timeoutMs);
    expect([refusal(1), crowded(1), crowded(100)]).toEqual(['would-miss-deadline', true, false]); // no run is so short
    const busy = [ask(1), ask(2)];
    expect([refusal(30), refusal(100)]).toEqual(['would-miss-deadline', undefined]);
    expect([crowded(30), crowded(1000)]).toEqual([true, false]);
    const bytes = feedOf(1)[0]!.data.byteLength;
    expect([refusal(70), refusal(70, '', 3 * bytes)]).toEqual([undefined, 'would-miss-deadline']); // three rows
    busy.push(ask(3), ask(4));
    // The other's is let in: one of the heavier caller's would have to go for it.
    expect(crowded(10_000)).toBe(true);
    expect([refusal(10_000), refusal(10_000, 'other')]).toEqual(['queue-full', undefined]);
    expect(scheduler.counts).toMatchObject({ refused: 4, queueDepth: 3 });
    await play(clock, Promise.all(busy));
    expect([runner.runs.length, clock.timerCount]).toEqual([9, 0]);
  });

  it('sheds what can not end in time any more, instead of running it for nothing', async () => {
    let durationMs = 40;
    const { clock, runner, ask } = setUp({ durationMs: () => durationMs }, { maxRows: 1 });
    for (let i = 0; i < 5; i += 1) await play(clock, ask(i));
    durationMs = 200; // the device got slow
    const asked = [ask(1, 1000), ...Array.from({ length: 3 }, (_, i) => ask(i, 220))].map(codeOf);
    const codes = await play(clock, Promise.all(asked));
    expect(codes.filter((code) => code === 'deadline-exceeded').length).toBeGreaterThanOrEqual(2);
    expect(runner.runs.length).toBeLessThanOrEqual(5 + 2);
  });

  it('learns from runs that end at their deadlines that it is too slow for them', async () => {
    const { clock, ask, scheduler } = setUp({ durationMs: () => 200 }, { maxRows: 1 });
    const early = [ask(1, 100), ask(2, 100), ask(3, 100)];
    const codes = await Promise.all(early.map((one) => play(clock, codeOf(one))));
    expect(codes).toEqual(early.map(() => 'deadline-exceeded'));
    expect(await codeOf(ask(4, 90))).toBe('would-miss-deadline');
    expect(await play(clock, codeOf(ask(5, 1000)))).toBe('answered');
    expect([await codeOf(ask(6, 150)), scheduler.counts.runs]).toEqual(['would-miss-deadline', 2]);
  });

  it('lets one through to an idle executor, however slow the runs were', async () => {
    let durationMs = 3000;
    const { clock, ask } = setUp({ durationMs: () => durationMs }, { maxRows: 1 });
    for (let i = 0; i < 3; i += 1) await play(clock, ask(i));
    durationMs = 10; // and nobody knows yet
    expect(await codeOf(ask(1, 500))).toBe('would-miss-deadline');
    clock.advance(1500);
    expect(await play(clock, codeOf(ask(1, 500)))).toBe('answered');
  });

  it('bounds the queue', async () => {
    const { runner, ask } = setUp({}, { queueDepthMax: 3 });
    const asked = Array.from({ length: 5 }, (_, i) => codeOf(ask(i)));
    expect(await asked[4]).toBe('queue-full');
    expect(runner.runs).toHaveLength(1);
  });

  it('repeats a run once when its executor dies, then says so', async () => {
    const { runner, scheduler, ask } = setUp();
    const lucky = ask(3);
    runner.runs[0]?.fail(new RuntimeError('executor-died', 'killed'));
    await settle();
    runner.runs[1]?.finish();
    expect(valueOf(await lucky)).toBe(6);
    const doomed = codeOf(ask(4));
    runner.runs[2]?.fail(new RuntimeError('executor-hung', 'too long'));
    await settle();
    runner.runs[3]?.fail(new RuntimeError('executor-died', 'killed'));
    expect(await doomed).toBe('failed');
    expect(scheduler.counts.retried).toBe(2);
  });

  it('lets an input that fails a batch fail only itself', async () => {
    const { clock, runner, ask } = setUp({ durationMs: (rows) => 30 + rows });
    await play(clock, Promise.all(Array.from({ length: 40 }, (_, i) => ask(i, 60_000))));
    const blocker = ask(0, 60_000);
    const [good, bad] = [ask(5, 60_000), codeOf(ask(6, 60_000))];
    await play(clock, blocker);
    await settle();
    expect(runner.runs.at(-1)?.rows).toBe(2);
    runner.runs.at(-1)?.fail(new RuntimeError('run-failed', 'index out of range'));
    await settle();
    expect(runner.runs.at(-1)?.rows).toBe(1);
    expect(valueOf(await play(clock, good))).toBe(10);
    await settle();
    runner.runs.at(-1)?.fail(new RuntimeError('run-failed', 'index out of range'));
    expect(await bad).toBe('failed');
  });

  it('sends no batch ahead that takes long itself, so that whoever comes need not wait for it', async () => {
    const { clock, runner, ask } = setUp({ durationMs: (rows) => 8 + 2 * rows });
    for (let i = 0; i < 3; i += 1) await play(clock, Promise.all(Array.from({ length: 60 }, () => ask(i, 60_000))));
    runner.runs.length = 0;
    const first = ask(1);
    const others = Array.from({ length: 9 }, () => ask(2));
    await play(clock, Promise.all([first, ...others]));
    expect(runner.runs.map(({ rows }) => rows)).toEqual([1, 1, 4, 4]); // 24 ms for eight, 16 for four
  });

  it('sends one more ahead of short runs, none ahead of long ones', async () => {
    for (const [durationMs, inFlight] of [
      [5, 2],
      [50, 1],
    ] as const) {
      const { clock, runner, ask } = setUp({ durationMs: () => durationMs }, { maxRows: 1 });
      for (let i = 0; i < 3; i += 1) await play(clock, ask(i));
      const asked = [ask(1), ask(2), ask(3)];
      expect(runner.runs.length - 3).toBe(inFlight);
      await play(clock, Promise.all(asked));
    }
  });

  it('serves the earlier deadline first', async () => {
    const { runner, ask } = setUp({}, { maxRows: 1 });
    const order: string[] = [];
    void ask(0).then(() => order.push('first'));
    void ask(1, 9000).then(() => order.push('late'));
    void ask(2, 1000).then(() => order.push('soon'));
    for (let i = 0; i < 3; i += 1) {
      runner.runs[i]?.finish();
      await settle();
    }
    expect(order).toEqual(['first', 'soon', 'late']);
  });

  it('serves a light caller next however many of a heavy one wait', async () => {
    const { clock, runner, ask } = setUp({ durationMs: () => 50 }, { maxRows: 1 });
    for (let i = 0; i < 3; i += 1) await play(clock, ask(i));
    const never = undefined;
    const order: string[] = [];
    const of = (caller: string, value: number): Promise<void> =>
      ask(value, 10_000, never, caller).then(() => void order.push(caller));
    const heavy = Array.from({ length: 20 }, (_, i) => of('heavy', i));
    await settle();
    const light = [of('light', 1), of('light', 2)];
    await play(clock, Promise.all([...heavy, ...light]));
    expect(order.slice(0, 4)).toEqual(['light', 'heavy', 'light', 'heavy']); // by what it has waiting it is known for heavy at once
    expect(runner.runs).toHaveLength(26); // its first run made way
  });

  it("refuses the heavy caller's excess and not the light caller", async () => {
    const { clock, scheduler, ask } = setUp({ durationMs: () => 50 }, { maxRows: 1, queueDepthMax: 4 });
    for (let i = 0; i < 3; i += 1) await play(clock, ask(i));
    const never = undefined;
    const heavy = Array.from({ length: 10 }, (_, i) => codeOf(ask(i, 10_000, never, 'heavy')));
    const light = codeOf(ask(1, 200, never, 'light'));
    expect(await play(clock, light)).toBe('answered');
    const codes = await play(clock, Promise.all(heavy));
    expect(codes.filter((code) => code === 'answered')).toHaveLength(4); // one ran, one of those that waited made room
    expect(codes.filter((code) => code === 'would-miss-deadline')).toHaveLength(1);
    expect(scheduler.counts).toMatchObject({ refused: 6, expired: 0 });
  });

  it('leaves no timer behind', async () => {
    const { clock, ask } = setUp({ durationMs: () => 5 });
    await play(clock, Promise.all([ask(1), ask(2), ask(3)]));
    expect(clock.timerCount).toBe(0);
  });

  it('takes nothing more once closed', async () => {
    const { scheduler, ask } = setUp();
    scheduler.close();
    expect(await codeOf(ask(1))).toBe('not-ready');
  });
});

import { describe, expect, it } from 'vitest';
import { SingleFlight } from '@tidegate/shared/cache/single-flight.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { settle } from '../../support/fake-graph-runner.js';
import { ManualClock } from '../../support/manual-clock.js';

interface Started {
  readonly signal: AbortSignal;
  resolve(value: string): void;
  reject(error: Error): void;
}

function setUp() {
  const clock = new ManualClock();
  const flights = new SingleFlight<string>({ clock });
  const started: Started[] = [];
  const compute = (signal: AbortSignal): Promise<string> =>
    new Promise((resolve, reject) => started.push({ signal, resolve, reject }));
  const ask = (deadlineMs = 1000, signal = new AbortController().signal): Promise<string> =>
    flights.fly('k', deadlineMs, signal, compute).then(
      ({ value }) => value,
      (error: unknown) => (error instanceof ServingError ? error.code : String(error)),
    );
  return { clock, flights, started, ask };
}

describe('SingleFlight', () => {
  it('computes 64 equal questions once', async () => {
    const { flights, started, ask } = setUp();
    const asked = Array.from({ length: 64 }, () => ask());
    started[0]?.resolve('answer');
    expect(await Promise.all(asked)).toEqual(Array.from({ length: 64 }, () => 'answer'));
    expect(started).toHaveLength(1);
    expect(flights.joined).toBe(63);
  });

  it('starts anew after the flight has landed, also after a failed one', async () => {
    const { started, ask } = setUp();
    const first = ask();
    started[0]?.reject(new ServingError('failed', 'no'));
    expect(await first).toBe('failed');
    const second = ask();
    started[1]?.resolve('answer');
    expect(await second).toBe('answer');
  });

  it('does not fail the followers when the leader goes away', async () => {
    const { started, ask } = setUp();
    const leader = new AbortController();
    const [led, followed] = [ask(1000, leader.signal), ask()];
    leader.abort();
    expect(await led).toBe('cancelled');
    expect(started[0]?.signal.aborted).toBe(false);
    started[0]?.resolve('answer');
    expect(await followed).toBe('answer');
  });

  it('cancels the computation when nobody waits any more, and lets the next one start', async () => {
    const { started, ask } = setUp();
    const [one, two] = [new AbortController(), new AbortController()];
    const both = [ask(1000, one.signal), ask(1000, two.signal)];
    one.abort();
    two.abort();
    expect(await Promise.all(both)).toEqual(['cancelled', 'cancelled']);
    expect(started[0]?.signal.aborted).toBe(true);
    const next = ask();
    started[1]?.resolve('answer');
    expect(await next).toBe('answer');
  });

  it("holds each follower's own deadline", async () => {
    const { clock, started, ask } = setUp();
    const [patient, hasty] = [ask(1000), ask(100)];
    clock.advance(101);
    expect(await hasty).toBe('deadline-exceeded');
    started[0]?.resolve('answer');
    expect(await patient).toBe('answer');
  });

  it("lets a follower with more time start another flight when the leader's time was too short", async () => {
    const { started, ask } = setUp();
    const [leader, follower] = [ask(100), ask(1000)];
    started[0]?.reject(new ServingError('would-miss-deadline', 'no'));
    expect(await leader).toBe('would-miss-deadline');
    await settle();
    expect(started).toHaveLength(2);
    started[1]?.resolve('answer');
    expect(await follower).toBe('answer');
  });

  it('leaves no timer behind', async () => {
    const { clock, started, ask } = setUp();
    const asked = [ask(), ask()];
    started[0]?.resolve('answer');
    await Promise.all(asked);
    expect(clock.timerCount).toBe(0);
  });
});

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WakingLoop } from '@tidegate/shared/system/waking-loop.js';
import { ManualClock } from '../../support/manual-clock.js';

const REST_MS = 1000;
const turnOfEventLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

let clock: ManualClock;
let loop: WakingLoop;
/** What each turn does before it ends. */
let act: (signal: AbortSignal) => Promise<void> | void;
let turns: number;
/** Of what failed. */
let asked: number | undefined;
let failures: { readonly message: string; readonly waitMs: number }[];

beforeEach(async () => {
  clock = new ManualClock();
  turns = 0;
  asked = undefined;
  failures = [];
  act = () => undefined;
  loop = new WakingLoop(
    {
      turn: async (signal) => {
        turns += 1;
        await act(signal);
        return REST_MS;
      },
      failed: ({ message }, waitMs) => failures.push({ message, waitMs }),
      backoff: { baseMs: 10, maxMs: 40 },
      retryAfterMs: () => asked,
    },
    { clock, random: { next: () => 0.5 } },
  );
});
afterEach(() => loop.stop());

async function started(): Promise<void> {
  loop.start();
  await turnOfEventLoop();
}
async function after(delayMs: number): Promise<void> {
  clock.advance(delayMs);
  await turnOfEventLoop();
}
const away = (): never => {
  throw new Error('away');
};

describe('resting', () => {
  it('turns at once, then each time the turn before said', async () => {
    await started();
    expect(turns).toBe(1);
    await after(REST_MS - 1);
    expect(turns).toBe(1);
    await after(1);
    expect(turns).toBe(2);
  });

  it.each(['wake', 'retryNow'] as const)('ends with %s', async (how) => {
    await started();
    loop[how]();
    await turnOfEventLoop();
    expect(turns).toBe(2);
    await turnOfEventLoop();
    expect(turns).toBe(2);
  });

  it('is left out where the loop was woken during the turn, however often: one more follows', async () => {
    let resolve = (): void => undefined;
    act = () => new Promise((done) => (resolve = done));
    await started();
    loop.wake();
    loop.wake();
    await turnOfEventLoop();
    expect(turns).toBe(1);
    act = () => undefined;
    resolve();
    await turnOfEventLoop();
    expect(turns).toBe(2);
  });
});

describe('pausing after a failure', () => {
  beforeEach(() => {
    act = away;
  });

  it('grows from one failure in a row to the next, up to its bound', async () => {
    await started();
    for (const waitMs of [5, 10, 20]) await after(waitMs);
    expect(failures).toEqual([5, 10, 20, 20].map((waitMs) => ({ message: 'away', waitMs })));
    expect(turns).toBe(4);
  });

  it('is longer by what was asked for, up to its bound', async () => {
    asked = 7;
    await started();
    asked = 1000;
    await after(12);
    expect(failures.map(({ waitMs }) => waitMs)).toEqual([12, 40]);
  });

  it('is not shortened by waking', async () => {
    await started();
    loop.wake();
    await after(4);
    expect(turns).toBe(1);
    await after(1);
    expect(turns).toBe(2);
  });

  it('ends with retryNow, and is as short as the first again', async () => {
    await started();
    await after(5);
    loop.retryNow();
    await turnOfEventLoop();
    expect(failures.map(({ waitMs }) => waitMs)).toEqual([5, 10, 5]);
  });

  it('is as short as the first again where a turn got on before it failed', async () => {
    act = () => {
      loop.forgetFailures();
      return away();
    };
    await started();
    await after(5);
    expect(failures.map(({ waitMs }) => waitMs)).toEqual([5, 5]);
  });

  it('keeps count over turns that succeeded without progress', async () => {
    await started();
    act = () => undefined;
    await after(5);
    act = away;
    await after(REST_MS);
    expect(failures.map(({ waitMs }) => waitMs)).toEqual([5, 10]);
  });
});

describe('stopping', () => {
  it('aborts the turn under way, waits for its end and reports no failure', async () => {
    act = (signal) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
    await started();
    await loop.stop();
    expect([turns, failures, clock.timerCount]).toEqual([1, [], 0]);
  });

  it.each([
    ['a rest', () => undefined],
    ['a pause', away],
  ])('ends %s and leaves no timer', async (_what, doing) => {
    act = doing;
    await started();
    expect(clock.timerCount).toBe(1);
    await loop.stop();
    expect([turns, clock.timerCount]).toEqual([1, 0]);
  });
});

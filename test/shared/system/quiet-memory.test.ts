import { describe, expect, it } from 'vitest';
import {
  GROWN_LEAST_BYTES,
  QUIET_MS,
  QUIET_WHILE_STARTING_MS,
  startQuietMemory,
  worthCollecting,
} from '@tidegate/shared/system/quiet-memory.js';
import { ManualClock } from '../../support/manual-clock.js';
import { recordedLog } from '../../support/recorded-log.js';

const grownBytes = GROWN_LEAST_BYTES;
const MINUTE_MS = 60_000;

describe('worthCollecting', () => {
  it('takes a first pause while it starts, and minutes of silence later', () => {
    const pause = { quietMs: QUIET_WHILE_STARTING_MS, upMs: 20_000, requests: 3, grownBytes };
    expect(worthCollecting(pause)).toBe(true);
    expect(worthCollecting({ ...pause, upMs: 61_000 })).toBe(false);
    expect(worthCollecting({ ...pause, requests: 1200 })).toBe(false); // what was compiled for them would go
    expect(worthCollecting({ ...pause, requests: 1e6, upMs: 1e9, quietMs: QUIET_MS - 1 })).toBe(false);
    expect(worthCollecting({ ...pause, requests: 1e6, upMs: 1e9, quietMs: QUIET_MS })).toBe(true);
  });

  it('is not for little', () => {
    const long = { quietMs: 1e9, upMs: 1e9, requests: 0 };
    expect(worthCollecting({ ...long, grownBytes: grownBytes - 1 })).toBe(false);
  });
});

/** A process that holds what the test says; a collection leaves 20 MiB. */
function start(collecting: () => Promise<boolean> = () => Promise.resolve(true)) {
  const clock = new ManualClock();
  const log = recordedLog();
  const process = { requests: 0, held: 45 * 2 ** 20, collections: 0 };
  const stop = startQuietMemory({
    clock,
    log,
    requests: () => process.requests,
    heldBytes: () => process.held,
    collect: async () => {
      process.collections += 1;
      const done = await collecting();
      if (done) process.held = 20 * 2 ** 20;
      return done;
    },
  });
  const pass = async (forMs: number): Promise<void> => {
    for (let passedMs = 0; passedMs < forMs; passedMs += 5_000) {
      clock.advance(5_000);
      for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
    }
  };
  return { clock, log, process, pass, stop };
}

describe('a quiet process', () => {
  it('gives back once what its start has left', async () => {
    const { log, process, pass, stop } = start();
    await pass(10 * MINUTE_MS);
    expect(process.collections).toBe(1);
    expect(log.lines).toMatchObject([{ fields: { heldBefore: 45 * 2 ** 20, heldAfter: 20 * 2 ** 20 } }]);
    stop();
  });

  it('leaves one alone that is asked now and then, and gives back when nobody has asked for minutes', async () => {
    const { process, pass, stop } = start();
    const askEvery = async (ms: number): Promise<void> => {
      process.requests += 1;
      await pass(ms);
    };
    for (let pause = 0; pause < 13; pause += 1) await askEvery(5_000);
    for (let pause = 0; pause < 20; pause += 1) await askEvery(MINUTE_MS);
    expect(process.collections).toBe(0);
    await askEvery(QUIET_MS + 5_000);
    expect(process.collections).toBe(1);
    process.held = 70 * 2 ** 20;
    await askEvery(QUIET_MS);
    expect(process.collections).toBe(1); // it has been quiet for a look less
    await pass(5_000);
    expect(process.collections).toBe(2);
    stop();
  });

  it('does nothing more where it can not be done, failed, or was stopped', async () => {
    const unable = start(() => Promise.resolve(false));
    const failing = start(() => Promise.reject(new Error('no')));
    const stopped = start();
    stopped.stop();
    for (const { pass, process } of [unable, failing, stopped]) {
      process.held = 1e9;
      await pass(10 * MINUTE_MS);
    }
    expect([unable, failing, stopped].map(({ process }) => process.collections)).toEqual([1, 1, 0]);
    expect(failing.log.lines).toMatchObject([{ level: 'warn', fields: { error: 'Error: no' } }]);
    expect(stopped.clock.timerCount).toBe(0);
  });

  it('may be stopped while it collects', async () => {
    let end = (): void => undefined;
    const { clock, pass, stop } = start(() => new Promise((resolve) => (end = () => resolve(true))));
    await pass(5_000);
    stop();
    end();
    await pass(5_000);
    expect(clock.timerCount).toBe(0);
  });
});

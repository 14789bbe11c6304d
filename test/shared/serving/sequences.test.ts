// The table of live sequences under a clock that tests move; "the executor" is a list of what it was told.
import { describe, expect, it } from 'vitest';
import { EndedSequences } from '@tidegate/shared/serving/ended-sequences.js';
import { Sequences, type SequenceTurn } from '@tidegate/shared/serving/sequences.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { settle } from '../../support/fake-graph-runner.js';
import { ManualClock } from '../../support/manual-clock.js';

const never = new AbortController().signal;
const START = { start: true, end: false };
const NEXT = { start: false, end: false };
const END = { start: false, end: true };

function open(limits = { max: 4, idleTimeoutMs: 1000 }) {
  const clock = new ManualClock();
  const forgotten: number[] = [];
  const ended = new EndedSequences();
  const modules = { model: 'm', clock, ended, forget: (key: number): void => void forgotten.push(key) };
  const sequences = new Sequences(limits, modules);
  /** A request that moves the state of `g` on, and says where it was. */
  const ask = (id: string, flags: typeof START, scope?: string) =>
    sequences.run({ id, ...flags, ...(scope === undefined ? {} : { scope }) }, never, (turn) => {
      const at = turn.at('g');
      turn.moved('g');
      return Promise.resolve(at);
    });
  const errorOf = async (promise: Promise<unknown>): Promise<{ code: string; message: string }> => {
    const error: unknown = await promise.catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(ServingError);
    return error as ServingError;
  };
  return { clock, forgotten, sequences, ask, errorOf };
}

describe('sequences', () => {
  it('carry each its own state, from a start to an end', async () => {
    const { sequences, ask, forgotten, errorOf } = open();
    const first = await ask('7', START);
    const other = await ask('"7"', START);
    expect(other.key).not.toBe(first.key);
    expect(await ask('7', NEXT)).toEqual({ key: first.key, step: 1 });
    expect(await ask('"7"', NEXT)).toEqual({ key: other.key, step: 1 });
    expect(await ask('7', END)).toEqual({ key: first.key, step: 2 });
    expect(forgotten).toEqual([first.key]);
    expect(await errorOf(ask('7', NEXT))).toMatchObject({ code: 'invalid-argument' });
    expect(sequences.counts).toMatchObject({ live: 1, started: 2, ended: { ended: 1 } });
  });

  it('tell when the last of them has been idle for too long, if nothing more is asked', async () => {
    const { sequences, ask, clock } = open();
    expect(sequences.endMs).toBeUndefined();
    await ask('7', START);
    clock.advance(400);
    await ask('8', START);
    clock.advance(100);
    expect(sequences.endMs).toBe(clock.monotonicMs() - 100 + 1000);
    let end = (): void => undefined;
    const runs = sequences.run({ id: '7', ...NEXT }, never, () => new Promise<void>((resolve) => (end = resolve)));
    expect(sequences.endMs).toBe(clock.monotonicMs() + 1000);
    await settle();
    end();
    await runs;
    await ask('7', END);
    await ask('8', END);
    expect(sequences.endMs).toBeUndefined();
  });

  it('begin again with a key of their own', async () => {
    const { ask, forgotten } = open();
    const first = await ask('7', START);
    const again = await ask('7', START);
    expect(again).toEqual({ key: expect.any(Number) as number, step: 0 });
    expect(again.key).not.toBe(first.key);
    expect(forgotten).toEqual([first.key]);
  });

  it('take one request at a time, in the order in which they came, and others side by side', async () => {
    const { sequences } = open();
    const log: string[] = [];
    const release: (() => void)[] = [];
    const slow = (id: string, name: string, flags: typeof START) =>
      sequences.run({ id, ...flags }, never, async () => {
        log.push(name);
        await new Promise<void>((resolve) => release.push(resolve));
      });
    const all = [slow('1', 'a1', START), slow('1', 'a2', NEXT), slow('2', 'b1', START), slow('1', 'a3', END)];
    await settle();
    expect(log).toEqual(['a1', 'b1']);
    for (let i = 0; i < 4; i += 1) {
      release.shift()?.();
      await settle();
    }
    await Promise.all(all);
    expect(log).toEqual(['a1', 'b1', 'a2', 'a3']);
  });

  it('that were idle too long end, say so, and leave nothing that wakes the device (B26)', async () => {
    const { clock, sequences, ask, forgotten, errorOf } = open();
    const { key } = await ask('7', START);
    clock.advance(999);
    await ask('7', NEXT);
    clock.advance(999);
    expect(sequences.counts.live).toBe(1);
    clock.advance(1);
    expect(sequences.counts).toMatchObject({ live: 0, ended: { idle: 1 } });
    expect([forgotten, clock.timerCount]).toEqual([[key], 0]);
    expect(await errorOf(ask('7', NEXT))).toMatchObject({
      code: 'sequence-lost',
      message: expect.stringContaining('nothing was asked of it for 1000 ms') as string,
    });
    expect(await ask('7', START)).toMatchObject({ step: 0 });
  });

  it('are not idle while a request of them runs', async () => {
    const { clock, sequences } = open();
    let release = (): void => undefined;
    const long = sequences.run({ id: '7', ...START }, never, () => new Promise<void>((resolve) => (release = resolve)));
    await settle();
    clock.advance(5000);
    expect(sequences.counts.live).toBe(1);
    release();
    await long;
    clock.advance(1000);
    expect(sequences.counts.live).toBe(0);
  });

  it('are bounded, and room comes back', async () => {
    const { ask, errorOf } = open({ max: 2, idleTimeoutMs: 1000 });
    await ask('1', START);
    await ask('2', START);
    expect(await errorOf(ask('3', START))).toMatchObject({ code: 'queue-full', field: 'parameters.sequence_id' });
    await ask('1', END);
    await ask('3', START);
  });

  describe('of which a request failed', () => {
    const fail = (move: boolean) => (turn: SequenceTurn) => {
      if (move) turn.moved('g');
      return Promise.reject(new ServingError('failed', 'a step failed'));
    };

    it('go on where the state had not moved', async () => {
      const { sequences, ask, errorOf } = open();
      await ask('7', START);
      expect(await errorOf(sequences.run({ id: '7', ...NEXT }, never, fail(false)))).toMatchObject({ code: 'failed' });
      expect(await ask('7', NEXT)).toMatchObject({ step: 1 });
    });

    it('are lost where it had: nobody could say what it holds', async () => {
      const { sequences, ask, errorOf } = open();
      await ask('7', START);
      await errorOf(sequences.run({ id: '7', ...NEXT }, never, fail(true)));
      const error = await errorOf(ask('7', NEXT));
      expect(error.code).toBe('sequence-lost');
      expect(error.message).toMatch(/failed when the state had moved on already \(a step failed\)/);
    });

    it('are lost where its caller was told that it is late, and it had moved', async () => {
      const { sequences, ask, errorOf } = open();
      await ask('7', START);
      const late = new AbortController();
      const run = sequences.run({ id: '7', ...NEXT }, late.signal, (turn) => {
        turn.moved('g');
        late.abort(new ServingError('deadline-exceeded', 'late'));
        return Promise.resolve();
      });
      expect((await errorOf(run)).code).toBe('deadline-exceeded');
      expect((await errorOf(ask('7', NEXT))).code).toBe('sequence-lost');
    });

    it('never began where it was the first, and those that wait behind it hear it', async () => {
      const { sequences, ask, errorOf } = open();
      const first = sequences.run({ id: '7', ...START }, never, fail(false));
      const behind = ask('7', NEXT);
      expect((await errorOf(first)).code).toBe('failed');
      expect(await errorOf(behind)).toMatchObject({
        code: 'sequence-lost',
        message: expect.stringContaining('its first request failed (a step failed)') as string,
      });
      expect(sequences.counts.live).toBe(0);
    });

    it('tell by name what the executor lost', async () => {
      const { sequences, ask, errorOf } = open();
      await ask('"tap 3"', START);
      const lost = (): Promise<never> => Promise.reject(new ServingError('sequence-lost', 'its executor has ended'));
      const error = await errorOf(sequences.run({ id: '"tap 3"', ...NEXT }, never, lost));
      expect(error.message).toBe(
        'sequence "tap 3" has lost its state: its executor has ended; start it again (sequence_start)',
      );
      expect(sequences.counts.ended.lost).toBe(1);
    });
  });

  it('of a connection are its own, and end with it', async () => {
    const { sequences, ask, errorOf } = open();
    const keys = await Promise.all([ask('7', START), ask('7', START, 'stream-1'), ask('7', START, 'stream-2')]);
    expect(new Set(keys.map(({ key }) => key)).size).toBe(3);
    sequences.endScope('stream-1');
    expect(sequences.counts.live).toBe(2);
    expect((await errorOf(ask('7', NEXT, 'stream-1'))).code).toBe('invalid-argument');
    expect(await ask('7', NEXT, 'stream-2')).toMatchObject({ step: 1 });
    expect(await ask('7', NEXT)).toMatchObject({ step: 1 });
  });

  it('are waited for so long, and then ended with the reason', async () => {
    const { clock, sequences, ask, errorOf } = open({ max: 4, idleTimeoutMs: 10_000 });
    await ask('1', START);
    await ask('2', START);
    let drained = false;
    const draining = sequences.drained(3000, 'its version was replaced').then(() => (drained = true));
    await ask('1', END);
    clock.advance(2999);
    expect(await ask('2', NEXT)).toMatchObject({ step: 1 });
    expect(drained).toBe(false);
    clock.advance(1);
    await draining;
    expect(await errorOf(ask('2', NEXT))).toMatchObject({
      code: 'sequence-lost',
      message: expect.stringContaining('its version was replaced') as string,
    });
    expect(clock.timerCount).toBe(0);
  });
});

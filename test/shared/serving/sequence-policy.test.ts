import { describe, expect, it } from 'vitest';
import { enterSequence, idleSequences } from '@tidegate/shared/serving/sequence-policy.js';

const unknown = { asked: { id: '7', start: false }, known: false, ended: undefined, count: 0, countMax: 2 };

describe('a request of a sequence', () => {
  it('enters one that is known, and begins one with a start', () => {
    expect(enterSequence({ ...unknown, known: true, count: 2 })).toEqual({ enter: true });
    expect(enterSequence({ ...unknown, asked: { id: '7', start: true }, count: 1 })).toEqual({ enter: true });
  });

  it('is never given a state that was made up (B26)', () => {
    expect(enterSequence(unknown)).toEqual({
      enter: false,
      code: 'invalid-argument',
      reason: 'sequence 7 is not known here: its first request says sequence_start',
    });
    expect(enterSequence({ ...unknown, ended: 'nothing was asked of it for 60000 ms' })).toEqual({
      enter: false,
      code: 'sequence-lost',
      reason: 'sequence 7 has lost its state: nothing was asked of it for 60000 ms; start it again (sequence_start)',
    });
  });

  it('is refused where as many are live as may be', () => {
    const decision = enterSequence({ ...unknown, asked: { id: '"a"', start: true }, count: 2 });
    expect(decision).toMatchObject({ enter: false, code: 'queue-full' });
  });
});

describe('idle sequences', () => {
  it('end when their time is over, and the next look is when one can be', () => {
    const a = { usedMs: 0, waiting: 0 };
    const b = { usedMs: 400, waiting: 0 };
    const busy = { usedMs: 0, waiting: 1 };
    expect(idleSequences([a, b, busy], 1000, 999)).toEqual({ ended: [], againInMs: 1 });
    expect(idleSequences([a, b, busy], 1000, 1000)).toEqual({ ended: [a], againInMs: 400 });
    expect(idleSequences([busy], 1000, 5000)).toEqual({ ended: [], againInMs: undefined });
  });
});

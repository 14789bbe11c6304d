import { describe, expect, it } from 'vitest';
import { EndedSequences } from '@tidegate/shared/serving/ended-sequences.js';

describe('ended sequences', () => {
  it('are remembered with their reason, by model, until they begin again', () => {
    const ended = new EndedSequences();
    ended.note('vad', ' 7', 'idle');
    expect([ended.why('vad', ' 7'), ended.why('other', ' 7')]).toEqual(['idle', undefined]);
    ended.forget('vad', ' 7');
    expect(ended.why('vad', ' 7')).toBeUndefined();
  });

  it('forgets the oldest beyond its limit', () => {
    const ended = new EndedSequences();
    for (let i = 0; i < 1030; i += 1) ended.note('vad', ` ${i}`, 'idle');
    ended.note('vad', ' 6', 'again');
    expect([ended.why('vad', ' 5'), ended.why('vad', ' 6'), ended.why('vad', ' 1029')]).toEqual([
      undefined,
      'again',
      'idle',
    ]);
  });
});

import { describe, expect, it } from 'vitest';
import { classesOf, keysOf } from '@tidegate/cloud-hub/console/review/classes.js';

describe('classes that a reviewer is offered', () => {
  it('are those of labels, answers and proposals, in reading order', () => {
    const samples = [{ answer: 'cat' }, { label: 'dog' }, { proposal: { label: 'ant' } }, { answer: 'cat' }, {}];
    expect(classesOf(samples)).toEqual(['ant', 'cat', 'dog']);
    expect(classesOf([{ answer: '10' }, { answer: '9' }])).toEqual(['9', '10']);
  });

  it('are all ten digits where some digits were seen', () => {
    expect(classesOf([{ answer: '7' }])).toEqual([...'0123456789']);
  });

  it('are none where the labels are texts', () => {
    expect(classesOf(Array.from({ length: 25 }, (_, i) => ({ answer: `line ${i}` })))).toEqual([]);
    expect(classesOf([{ answer: 'a rather long line of text' }])).toEqual([]);
    expect(classesOf([])).toEqual([]);
  });
});

describe('keys of classes', () => {
  it('are the classes themselves where each is one character, but for keys that mean something else', () => {
    expect([...keysOf(['1', '2'])]).toEqual([
      ['1', '1'],
      ['2', '2'],
    ]);
    expect([...keysOf(['o', 'x'])]).toEqual([['o', 'o']]);
  });

  it('are 1 to 9 for longer ones', () => {
    const keys = keysOf(['ant', 'cat', ...Array.from({ length: 10 }, (_, i) => `dog ${i}`)]);
    expect(keys.get('2')).toBe('cat');
    expect(keys.size).toBe(9);
  });
});

import { describe, expect, it } from 'vitest';
import { duration, figure, percent, words } from '@tidegate/cloud-hub/console/format.js';

describe('figures as people read them', () => {
  it.each([
    [undefined, '–'],
    [-3, '0 s'],
    [89.4, '89 s'],
    [200, '3 min 20 s'],
    [3900, '1 h 5 min'],
  ])('a duration of %s is %s', (seconds, text) => {
    expect(duration(seconds)).toBe(text);
  });

  it.each([
    [undefined, '–'],
    [0, '0'],
    [0.00001234, '1.2e-5'],
    [0.001, '0.001'],
    [0.123456, '0.123'],
    [1234.56, '1235'],
    [12_345_678, '1.2e+7'],
  ])('%s has few digits: %s', (value, text) => {
    expect(figure(value)).toBe(text);
  });

  it("a field's name is words", () => {
    expect(['learningRate', 'seed', 'accuracy held-out hard@1'].map(words)).toEqual([
      'learning rate',
      'seed',
      'accuracy held-out hard@1',
    ]);
  });

  it('a share is said in per cent', () => {
    expect(percent(0.9731)).toBe('97.3%');
    expect(percent(0.2, 0)).toBe('20%');
    expect(percent(undefined)).toBe('–');
  });
});

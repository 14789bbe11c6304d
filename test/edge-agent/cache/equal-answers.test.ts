import { expect, it } from 'vitest';
import { areEqualAnswers } from '@tidegate/edge-agent/cache/equal-answers.js';
import { fp32, words } from '../../support/word-pipeline.js';

const answer = (value: number, word = 'cat') => [fp32('y', [2], [value, 5]), words('label', word)];

it('allows floats their last digits, and nothing else anything', () => {
  expect(areEqualAnswers(answer(0.5), answer(0.5005))).toBe(true);
  expect(areEqualAnswers([fp32('y', [1], [4000])], [fp32('y', [1], [4003])])).toBe(true);
  expect(areEqualAnswers([fp32('y', [1], [NaN])], [fp32('y', [1], [NaN])])).toBe(true);
  for (const other of [
    answer(0.502),
    answer(0.5, 'dog'),
    answer(0.5).slice(1),
    [fp32('z', [2], [0.5, 5]), words('label', 'cat')],
    [fp32('y', [1, 2], [0.5, 5]), words('label', 'cat')],
    answer(NaN),
    answer(Infinity),
  ])
    expect(areEqualAnswers(answer(0.5), other)).toBe(false);
});

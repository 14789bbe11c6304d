import { expect, it } from 'vitest';
import { choiceText } from '@tidegate/shared/serving/choice-facts.js';

it.each([
  [{ held: 1, of: 1 }, 'step branch: its first side'],
  [{ held: 0, of: 1 }, 'step branch: its second side'],
  [{ held: 2, of: 3 }, 'step branch: its first side for 2 of 3 items'],
  [{ held: 0, of: 0 }, 'step branch: its first side for 0 of 0 items'],
])('says of %o: %s', (facts, text) => {
  expect(choiceText({ step: 'step branch', ...facts })).toBe(text);
});

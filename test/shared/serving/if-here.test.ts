import { expect, test } from 'vitest';
import { ifHere } from '@tidegate/shared/serving/if-here.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';

test('what is not found is undefined, and no other error is hidden', () => {
  const failing = (error: Error) => (): never => {
    throw error;
  };
  expect(ifHere(() => 3)).toBe(3);
  expect(ifHere(failing(new ServingError('not-found', 'no model')))).toBeUndefined();
  expect(() => ifHere(failing(new ServingError('not-ready', 'loading')))).toThrow('loading');
  expect(() => ifHere(failing(new Error('a bug')))).toThrow('a bug');
});

import { expect, it } from 'vitest';
import { ModelLimits } from '@tidegate/shared/serving/model-limits.js';
import { ManualClock } from '../../support/manual-clock.js';

const limitsOf = (rates: object, inFlightMax = 2): ModelLimits =>
  new ModelLimits({ model: 'm', rates, inFlightMax }, new ManualClock());

it('refuses what is over the rate, and says so to who only looks', () => {
  const limits = limitsOf({ requestsPerSecond: 1 });
  expect([limits.rated, limits.look('a')]).toEqual([true, undefined]);
  limits.enter('a', true);
  const refusal = { code: 'rate-limited', retryAfterMs: 1000, message: expect.stringContaining("of model 'm' all") };
  expect(limits.look('a')).toMatchObject(refusal);
  expect(() => limits.enter('a', true)).toThrow(expect.objectContaining(refusal));
  limits.enter('a', false); // a self-test, or the second part of a request
  expect(limits.count).toBe(2);
});

it('refuses what has no room, until one has left', () => {
  const limits = limitsOf({});
  for (const _ of [1, 2]) limits.enter('a', true);
  const refusal = { code: 'queue-full', retryAfterMs: 1000, message: 'refused: 2 requests are under way' };
  expect([limits.rated, limits.look('b')]).toEqual([false, undefined]); // another caller has its part
  expect(limits.look('a')).toMatchObject(refusal);
  expect(() => limits.enter('a', true)).toThrow(expect.objectContaining(refusal));
  limits.leave('a');
  expect(limits.look('a')).toBeUndefined();
});

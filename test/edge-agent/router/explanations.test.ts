import { expect, it } from 'vitest';
import { Explanations, LIMIT_EXPLANATIONS } from '@tidegate/edge-agent/router/explanations.js';

const one = (id: string) => ({
  id,
  model: 'm',
  version: '1',
  acceptedAtMs: 0,
  totalMs: 1,
  spent: { queueMs: 0, runMs: 0, hubMs: 0 },
  result: `result of ${id}`,
  steps: [],
});

it('keeps the last thousand, the newest of a repeated id', () => {
  const explanations = new Explanations();
  for (let i = 0; i < LIMIT_EXPLANATIONS + 10; i += 1) explanations.add(one(`r${i}`));
  explanations.add({ ...one('r500'), result: 'again' });
  expect(explanations.get('r9')).toBeUndefined();
  expect(explanations.get('r10')).toBeDefined();
  expect(explanations.get('r500')?.result).toBe('again');
  expect(explanations.latest(2).map(({ id }) => id)).toEqual(['r500', 'r1009']);
  expect(explanations.latest(5000)).toHaveLength(LIMIT_EXPLANATIONS);
});

it('gives ids to requests that have none', () => {
  const explanations = new Explanations();
  expect([explanations.nextId(), explanations.nextId()]).toEqual(['#1', '#2']);
});

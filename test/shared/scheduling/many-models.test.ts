// The policies together, over simulated time: several models on two cores, and more asked than can be answered.
import { describe, expect, it } from 'vitest';
import type { CallerOutcome } from '../../support/simulated-load.js';
import { simulateModels } from '../../support/simulated-models.js';

const at = ({ times }: CallerOutcome, share: number): number => times[Math.floor(times.length * share)] ?? Number.NaN;
const metShare = ({ offered, refused, displaced, times }: CallerOutcome): number =>
  times.length / (offered - refused - displaced);

describe('a model of 1 ms beside one of 20 ms that is flooded', () => {
  const flood = (name: string) => ({ runMs: 20, callers: [{ name, perSecond: 150, timeoutsMs: [200, 500, 1000] }] });
  const calm = (name: string) => ({ runMs: 1, callers: [{ name, perSecond: 40, timeoutsMs: [30] }] });

  it.each([
    ['another caller', 'flood', 'calm'],
    ['the same caller', 'all', 'all'],
  ])('is hardly slower than alone, and costs the other nothing: of %s', async (_, first, second) => {
    const seen = await simulateModels(2, [flood(first), calm(second)], 10_000);
    const all = seen.get('all');
    if (all !== undefined) {
      expect(at(all, 0.2)).toBeLessThan(4); // three answers in ten are of the short one
      expect(metShare(all)).toBeGreaterThan(0.995);
      return;
    }
    const [heavy, light] = [seen.get('flood'), seen.get('calm')] as [CallerOutcome, CallerOutcome];
    expect(light).toMatchObject({ refused: 0, displaced: 0, late: 0 });
    expect(at(light, 0.5)).toBeLessThan(2); // nobody else on the cores: 1.0
    expect(at(light, 0.99)).toBeLessThan(8); // behind runs of the other: 20
    expect(metShare(heavy)).toBeGreaterThan(0.997);
    expect((20 * heavy.times.length) / (2 * 10_000)).toBeGreaterThan(0.95);
  });
});

it('gives the callers of six models equal parts, as many answers as the cores carry, and in time', async () => {
  const models = Array.from({ length: 6 }, (_, i) => ({
    runMs: 20,
    callers: [{ name: `caller ${i}`, perSecond: 30, timeoutsMs: [100, 200, 500] }],
  }));
  const all = [...(await simulateModels(2, models, 10_000)).values()];
  const counts = all.map(({ times }) => times.length);
  expect(Math.min(...counts) / Math.max(...counts)).toBeGreaterThan(0.9);
  expect((20 * counts.reduce((sum, count) => sum + count, 0)) / (2 * 10_000)).toBeGreaterThan(0.95);
  for (const caller of all) expect(metShare(caller)).toBeGreaterThan(0.97);
});

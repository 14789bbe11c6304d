// The policies together, over simulated time: more is asked than can be answered. P3 of the targets, and fair shares.
import { describe, expect, it } from 'vitest';
import { simulateLoad, type CallerOutcome, type SimulatedCaller } from '../../support/simulated-load.js';

const at = ({ times }: Pick<CallerOutcome, 'times'>, share: number): number =>
  times[Math.floor(times.length * share)] ?? Number.NaN;
const metShare = ({ offered, refused, times }: CallerOutcome): number => times.length / (offered - refused);

describe('at twice the capacity, with mixed deadlines', () => {
  const callers = [{ name: '', perSecond: 100, timeoutsMs: [60, 100, 200, 500, 1000] }];
  it.each([
    ['uneven runs, one in a hundred three times as long', { spread: 0.3, slowShare: 0.01 }],
    ['one in twenty three times as long', { spread: 0.3, slowShare: 0.05 }],
  ])('answers in time what it admits, and is never idle: %s', async (_, uneven) => {
    const { callers: outcomes, goodShare } = await simulateLoad({ runMs: 20, ...uneven }, callers, 15_000);
    const all = outcomes.get('') as CallerOutcome;
    expect(all.refused).toBeGreaterThan(0.4 * all.offered);
    expect(metShare(all)).toBeGreaterThanOrEqual(0.997); // the first slow runs surprise it; P3, later: 0.999
    expect(goodShare).toBeGreaterThan(0.9);
  });
});

describe('a device that other work makes slow for a while now and then', () => {
  // Before slow stretches were remembered: 0.970 and 0.968. The first one surprises it.
  it.each([
    ['0.2 s, three times as slow', { everyMs: 3000, forMs: 200, times: 3 }, 0.988],
    ['0.3 s, twice as slow', { everyMs: 2000, forMs: 300, times: 2 }, 0.995],
  ])('keeps its promises at twice the capacity, and is never idle: %s', async (_, slowPhases, least) => {
    const callers = [{ name: '', perSecond: 100, timeoutsMs: [60, 100, 200, 500, 1000] }];
    const { callers: outcomes, goodShare } = await simulateLoad(
      { runMs: 20, spread: 0.1, slowPhases },
      callers,
      40_000,
    );
    expect(metShare(outcomes.get('') as CallerOutcome)).toBeGreaterThan(least);
    expect(goodShare).toBeGreaterThan(0.925);
  });

  // Answered 0.11 of what was asked before: what a slow stretch had taught it, only runs could correct, and it refused to run.
  it('answers again what is asked with short deadlines, once the slow stretch is over', async () => {
    const server = { runMs: 20, spread: 0.1, slowPhases: { everyMs: 5000, forMs: 200, times: 2 } };
    const { callers } = await simulateLoad(server, [{ name: '', perSecond: 50, timeoutsMs: [60] }], 40_000);
    const { offered, times, late } = callers.get('') as CallerOutcome;
    expect(times.length / offered).toBeGreaterThan(0.55); // 0.77 where it is never slow
    expect(late / times.length).toBeLessThan(0.005);
  });
});

describe('a light caller beside one that asks a hundred times as often', () => {
  const light = { name: 'light', perSecond: 4, timeoutsMs: [1000] };
  const heavy = { name: 'heavy', perSecond: 400, timeoutsMs: [1000] };
  it.each([1, 2])('hardly notices the other, which loses little: %i runs at once', async (concurrency) => {
    const server = { runMs: 10 * concurrency, spread: 0.1, concurrency };
    const alone = (await simulateLoad(server, [light], 25_000)).callers.get('light') as CallerOutcome;
    const { callers, goodShare } = await simulateLoad(server, [light, heavy], 25_000);
    const beside = callers.get('light') as CallerOutcome;
    expect(beside).toMatchObject({ refused: 0, displaced: 0, late: 0 });
    expect(at(beside, 0.5) / at(alone, 0.5)).toBeLessThan(1.2);
    expect(at(beside, 0.95) / at(alone, 0.95)).toBeLessThan(1.2);
    expect(goodShare).toBeGreaterThan(0.95);
    expect(metShare(callers.get('heavy') as CallerOutcome)).toBeGreaterThan(0.998);
  });
});

describe('a light caller of a graph whose rows get a little cheaper in a batch', () => {
  it('does not wait for the batches of a heavy one', async () => {
    const server = { runMs: 10, spread: 0.1, batches: { maxRows: 8, rowShare: 0.75 } };
    const light = { name: 'light', perSecond: 4, timeoutsMs: [1000] };
    const heavy = { name: 'heavy', perSecond: 400, timeoutsMs: [1000] };
    const alone = (await simulateLoad(server, [light], 25_000)).callers.get('light') as CallerOutcome;
    const { callers } = await simulateLoad(server, [light, heavy], 25_000);
    const beside = callers.get('light') as CallerOutcome;
    expect(beside).toMatchObject({ refused: 0, displaced: 0, late: 0 });
    expect(at(beside, 0.5) / at(alone, 0.5)).toBeLessThan(1.2);
    expect(at(beside, 0.95) / at(alone, 0.95)).toBeLessThan(1.2);
    expect(metShare(callers.get('heavy') as CallerOutcome)).toBeGreaterThan(0.99);
  });
});

describe('light callers that have asked for a while when a heavy one begins', () => {
  // Before callers were known for heavy by what they have waiting: p95 48, p99 54 ms in these three seconds, and 37, 48 ms in twenty.
  it.each([3_000, 20_000])('hardly notice it, and what it is promised is kept: in %i ms', async (ms) => {
    const server = { runMs: 5, spread: 0.1, batches: { maxRows: 8, rowShare: 0.75 } };
    const light = [1, 2, 3, 4].map((i) => ({ name: `light ${i}`, perSecond: 5, timeoutsMs: [1000] }));
    const heavy = { name: 'heavy', perSecond: 500, timeoutsMs: [1000], fromMs: 10_000 };
    const seen = async (callers: readonly SimulatedCaller[]) => {
      const outcome = await simulateLoad(server, callers, 10_000 + ms, 10_000);
      const ofLight = light.map(({ name }) => outcome.callers.get(name) as CallerOutcome);
      for (const one of ofLight) expect(one).toMatchObject({ refused: 0, displaced: 0, late: 0 });
      const times = ofLight.flatMap((one) => one.times).sort((a, b) => a - b);
      return { times, heavy: outcome.callers.get('heavy') };
    };
    const alone = await seen(light);
    const beside = await seen([...light, heavy]);
    expect(at(beside, 0.95) / at(alone, 0.95)).toBeLessThan(1.2);
    expect(at(beside, 0.99) / at(alone, 0.99)).toBeLessThan(1.2);
    expect(metShare(beside.heavy as CallerOutcome)).toBeGreaterThan(0.999);
    expect((5 * (beside.heavy?.times.length ?? 0)) / ms).toBeGreaterThan(0.9); // the light ones have a tenth of the time
  });
});

describe('two callers that ask for more than there is', () => {
  const flood = (name: string, perSecond: number) => ({ name, perSecond, timeoutsMs: [500] });

  it('get equal shares whatever they ask for, and make no run of the other repeat', async () => {
    const server = { runMs: 20, spread: 0.1 };
    const { callers, repeated } = await simulateLoad(server, [flood('a', 200), flood('b', 40)], 10_000);
    const [a, b] = [callers.get('a'), callers.get('b')] as [CallerOutcome, CallerOutcome];
    expect(a.times.length / b.times.length).toBeGreaterThan(0.9);
    expect(a.times.length / b.times.length).toBeLessThan(1.1);
    expect(repeated).toBe(0);
  });

  it('get shares by their weights', async () => {
    const server = { runMs: 20, spread: 0.1, callerWeights: new Map([['a', 3]]) };
    const { callers } = await simulateLoad(server, [flood('a', 100), flood('b', 100)], 10_000);
    const [a, b] = [callers.get('a'), callers.get('b')] as [CallerOutcome, CallerOutcome];
    expect(a.times.length / b.times.length).toBeGreaterThan(2.6);
    expect(a.times.length / b.times.length).toBeLessThan(3.4);
  });
});

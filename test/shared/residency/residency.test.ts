// Over models that only count bytes (residency-world.ts). Real executors: test/e2e/serve-memory.test.ts.
import { afterEach, describe, expect, it } from 'vitest';
import type { Parkable } from '@tidegate/shared/residency/resident.js';
import type { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { settle } from '../../support/fake-graph-runner.js';
import { OWN, World } from '../../support/residency-world.js';

const signal = new AbortController().signal;
let world: World;
afterEach(() => world.residency.close());

it('divides the memory of an executor among the models that share it', async () => {
  world = new World();
  const one = await world.add('one', { share: 0.75 });
  const two = await world.add('two', { bytes: 400 });
  one.pids = two.pids; // it moved
  two.share = 0.25;
  one.bytes = 0;
  const three = await world.add('three'); // measured anew
  expect([one, two, three].map((model) => world.residency.reportOf(model)?.bytes)).toEqual([300, 100, 100]);
  expect(world.residency.report.usedBytes).toBe(OWN + 500);
});

describe('a budget that not all models fit into', () => {
  it('opens all of them, one making room for the next, and loads again what is asked for', async () => {
    world = new World(250);
    const [a, b] = [await world.add('a'), await world.add('b')];
    expect(world.residency.report).toMatchObject({ budgetBytes: 250, usedBytes: 250, ownBytes: OWN, overBudget: 0 });
    const c = await world.add('c');
    expect([a, b, c].map((model) => world.state(model))).toEqual(['on demand', 'resident', 'resident']);
    const asked = world.ask(a, 30_000);
    await world.pass(500);
    expect(await asked).toBe('here');
    expect(a.wakes).toBe(1);
    expect(world.peakBytes).toBe(250);
    expect(world.residency.reportOf(a)).toMatchObject({ loads: 2, evictions: { budget: 1 }, bytes: 100 });
    expect(world.log.lines.filter(({ message }) => message === 'model leaves memory')).toHaveLength(2);
  });

  it('lets a request wait within its deadline, and refuses at once what can not be there in time (B22)', async () => {
    world = new World(150);
    const [a, b] = [await world.add('a'), await world.add('b')];
    expect(await world.ask(b, 1000)).toBe('here');
    const refused = await world.ask(a, 5000);
    expect(refused).toMatchObject({ code: 'not-ready', retryAfterMs: 10_400 });
    expect((refused as Error).message).toMatch(
      "'a' is not in memory: the memory budget (0 MiB) is taken by b for another 10 s",
    );
    const waiting = world.ask(a, 30_000);
    await world.pass(10_600);
    expect(await waiting).toBe('here');
    expect(world.residency.reportOf(a)?.refusals).toBe(1);
  });

  it('sends a request elsewhere where that is sooner, and loads meanwhile', async () => {
    world = new World(150);
    const [a, b] = [await world.add('a'), await world.add('b')];
    const sent = await world.ask(a, 30_000, { elsewhereMs: () => 100 });
    expect(sent).toMatchObject({ code: 'not-ready', retryAfterMs: 400 });
    await world.pass(500);
    expect(world.state(a)).toBe('resident');
    expect(world.state(b)).toBe('on demand');
    const patient = world.ask(b, 30_000, { elsewhereMs: () => undefined });
    await world.pass(11_000);
    expect(await patient).toBe('here');
  });

  it('reloads at most once per minimum residency, however fast two models alternate, and stays in the budget (B22)', async () => {
    world = new World(150);
    const models = [await world.add('a'), await world.add('b')];
    const answers = { here: 0, refused: 0 };
    const MINUTES = 20;
    for (let i = 0; i < MINUTES * 600; i += 1) {
      const model = models[i % 2]!;
      const answer = world.ask(model, 500); // in time only for what is there, or is loaded at once
      await world.pass(100);
      void answer.then((got) => (answers[got === 'here' ? 'here' : 'refused'] += 1));
    }
    await settle();
    const reloads = models.reduce((sum, { wakes }) => sum + wakes, 0);
    expect(reloads).toBeLessThanOrEqual((MINUTES * 60) / 10 + 1);
    expect(reloads).toBeGreaterThan(MINUTES); // both get their turns
    expect(answers.here).toBeGreaterThan(MINUTES * 600 * 0.45);
    expect(world.peakBytes).toBeLessThanOrEqual(150);
  });

  it('gives a rare model its turn beside a busy one, but seldom', async () => {
    world = new World(150);
    const [busy, rare] = [await world.add('busy'), await world.add('rare')];
    let served = 0;
    for (let second = 0; second < 3600; second += 1) {
      void world.ask(busy, 200);
      if (second % 20 === 0) void world.ask(rare, 2000).then((got) => (served += got === 'here' ? 1 : 0));
      await world.pass(1000);
    }
    expect(served).toBeGreaterThan(2);
    expect(rare.wakes).toBeGreaterThan(2);
    expect(busy.wakes).toBeLessThan(40);
  });

  it('never has leave what is pinned, nor what a request is under way in', async () => {
    world = new World(250);
    const pinned = await world.add('pinned', { pinned: true });
    const [a, b] = [await world.add('a'), await world.add('b')];
    await expect(world.add('large', { bytes: 150 })).rejects.toMatchObject({ code: 'not-ready' });
    expect(world.state(pinned)).toBe('resident');
    const lease = await world.residency.hold(b, { deadlineMs: 1e9 }, signal);
    await world.pass(60_000);
    const asked = world.ask(a, 10_000);
    await world.pass(1000);
    expect(world.state(b)).toBe('leaving');
    expect(b.pids).toHaveLength(1);
    lease();
    await world.pass(500);
    expect(await asked).toBe('here');
    expect(b.pids).toHaveLength(0);
    expect(pinned.pids).toHaveLength(1);
    expect(world.peakBytes).toBe(250);
  });
});

describe('what really is in use', () => {
  it('counts, not what was expected: a model that turns out too large is not kept, and says need and have', async () => {
    world = new World(150);
    const a = await world.add('a', { bytes: 90 });
    const error: unknown = await world.add('heavy', { bytes: 120, expected: 60 }).catch((cause: unknown) => cause);
    expect((error as Error).message).toContain("'heavy' is not in memory: it needs");
    expect(world.models[1]?.pids).toEqual([]);
    expect(await settledAsk(a)).toBe('here');
  });

  it('is looked at while requests come: a model that grew has others leave', async () => {
    world = new World(250);
    const [a, b] = [await world.add('a'), await world.add('b')];
    await world.ask(a, 1000);
    await world.ask(a, 1000);
    a.bytes = 160;
    await world.pass(5100);
    expect([world.state(a), world.state(b)]).toEqual(['resident', 'on demand']);
    expect(world.residency.reportOf(b)?.evictions['over-budget']).toBe(1);
    await world.pass(5000);
    expect(world.clock.timerCount).toBe(0); // nobody asks: nobody looks
  });

  it('has the only model begin anew when it outgrew the budget, and tells of it while it can not', async () => {
    world = new World(150);
    const a = await world.add('a');
    const lease = await world.residency.hold(a, { deadlineMs: 1e9 }, signal);
    a.bytes = 120;
    await world.pass(5100);
    expect(world.residency.report.overBudget).toBe(1);
    expect(world.log.lines.at(-1)?.message).toMatch('nothing can leave');
    lease();
    a.bytes = 99; // anew
    await world.ask(a, 1000);
    a.bytes = 120;
    await world.pass(5100);
    expect(world.state(a)).toBe('on demand');
    a.bytes = 100;
    expect(await settledAsk(a)).toBe('here'); // what it had grown by is not held against it
  });

  it('is looked at until it is within the budget, also where nobody asks any more', async () => {
    world = new World(150);
    const a = await world.add('a');
    const lease = await world.residency.hold(a, { deadlineMs: 1e9 }, signal);
    a.bytes = 900; // what one large request needed
    await world.pass(5100);
    lease();
    await world.pass(5100);
    expect(world.state(a)).toBe('on demand');
    await world.pass(5100);
    expect(world.clock.timerCount).toBe(0);
    const told = world.log.lines.filter(({ message }) => message.includes('nothing can leave'));
    expect(told).toHaveLength(1);
  });

  it('does not count what the server itself has no more use for: that goes first', async () => {
    world = new World(250);
    const [a, b] = [await world.add('a'), await world.add('b')];
    world.ownBytes = OWN + 20; // so that one of them would have to leave
    world.collected = OWN;
    await world.ask(a, 1000);
    await world.pass(5100);
    expect([world.state(a), world.state(b), world.ownBytes]).toEqual(['resident', 'resident', OWN]);
  });

  async function settledAsk(model: Parkable): Promise<unknown> {
    const asked = world.ask(model, 30_000);
    await world.pass(500);
    return asked;
  }
});

describe('keep-alive', () => {
  it('lets a model leave that nobody asked for so long, and the next request loads it', async () => {
    world = new World();
    const a = await world.add('a', { keepAliveMs: 60_000 });
    await world.pass(30_000);
    await world.ask(a, 1000);
    await world.pass(59_000);
    expect(world.state(a)).toBe('resident');
    await world.pass(2000);
    expect(world.state(a)).toBe('on demand');
    const asked = world.ask(a, 1000);
    await world.pass(500);
    expect(await asked).toBe('here');
    expect(world.residency.reportOf(a)).toMatchObject({ loads: 2, evictions: { 'keep-alive': 1 } });
  });

  it('waits for sequences to end, and so does who wants the room', async () => {
    world = new World(150);
    const a = await world.add('a', { keepAliveMs: 0, holdsState: true });
    await world.pass(60_000);
    const added = world.add('b');
    await world.pass(1000);
    expect([world.state(a), world.models.length]).toEqual(['resident', 2]);
    a.holdsState = false;
    await world.pass(1000);
    await added;
    expect(world.state(a)).toBe('on demand');
    expect(world.peakBytes).toBe(150);
  });

  it('refuses at once who could only wait for a sequence that outlasts the deadline, and has others wait for its end', async () => {
    world = new World(150);
    const [other, holder] = [await world.add('a'), await world.add('b')]; // which made room for itself
    expect(world.state(other)).toBe('on demand');
    Object.assign(holder, { holdsState: true, stateEndsMs: world.clock.monotonicMs() + 60_000 });
    const refused = await world.ask(other, 30_000);
    expect(refused).toMatchObject({ code: 'not-ready', message: expect.stringContaining('(in a sequence)') as string });
    expect((refused as ServingError).retryAfterMs).toBeGreaterThan(59_000);
    expect(await world.ask(other, 90_000, { elsewhereMs: () => 200 })).toMatchObject({ code: 'not-ready' });
    const waits = world.ask(other, 90_000);
    await world.pass(20_000);
    Object.assign(holder, { holdsState: false, stateEndsMs: undefined }); // it ended sooner than it had to
    await world.pass(1000);
    expect(await waits).toBe('here');
  });

  it('of 0 lets it leave after each request, of a pinned model counts for nothing', async () => {
    world = new World();
    const [a, pinned] = [
      await world.add('a', { keepAliveMs: 0 }),
      await world.add('p', { keepAliveMs: 0, pinned: true }),
    ];
    await settle();
    expect([world.state(a), world.state(pinned)]).toEqual(['on demand', 'resident']);
    const asked = world.ask(a, 1000);
    await world.pass(500);
    expect(await asked).toBe('here');
    expect(a.pids).toEqual([]);
  });
});

describe('a model on demand', () => {
  it('is loaded once for all who wait', async () => {
    world = new World();
    const a = await world.add('a', { keepAliveMs: 0 });
    const asked = Array.from({ length: 20 }, () => world.ask(a, 1000));
    await world.pass(500);
    expect(new Set(await Promise.all(asked))).toEqual(new Set(['here']));
    expect(a.wakes).toBe(1);
  });

  it('is tried again when loading fails, until it is in quarantine, and lets callers go', async () => {
    world = new World();
    const a = await world.add('a', { keepAliveMs: 0, failures: 2 });
    const caller = new AbortController();
    const gone = world.ask(a, 60_000, {}, caller.signal);
    const asked = world.ask(a, 60_000);
    await world.pass(100);
    caller.abort();
    expect(await gone).toMatchObject({ code: 'cancelled' });
    await world.pass(1500);
    expect(await asked).toBe('here');
    await world.pass(100);
    a.quarantine = {};
    expect(await world.ask(a, 1000)).toBe('here'); // to hear it from the model
  });

  it('does not outlast a deadline that passes while it is loaded, nor its being taken out of service', async () => {
    world = new World();
    const a = await world.add('a', { keepAliveMs: 0 });
    a.takesMs = 5000;
    const late = world.ask(a, 500);
    await world.pass(600);
    expect(await late).toMatchObject({ code: 'deadline-exceeded' });
    const waiting = world.ask(a, 60_000);
    await world.pass(100);
    await a.close();
    expect(await waiting).toMatchObject({
      code: 'not-ready',
      message: expect.stringContaining('out of service') as string,
    });
  });

  it('comes ahead where there is room, and on an order whoever must leave', async () => {
    world = new World(150);
    const [a, b] = [await world.add('a'), await world.add('b')];
    await world.ask(b, 1000);
    world.residency.warm(a);
    await world.pass(500);
    expect(world.state(a)).toBe('on demand');
    const loading = world.residency.load(a, signal);
    await world.pass(500);
    await loading;
    expect([world.state(a), world.state(b)]).toEqual(['resident', 'on demand']);
    world.residency.warm(b);
    await world.pass(500);
    expect(world.state(b)).toBe('resident'); // nobody has asked for a
  });

  it('is loaded once by an order, also where it leaves as soon as nothing uses it', async () => {
    world = new World(1000);
    const a = await world.add('a', { keepAliveMs: 0 });
    await world.pass(100);
    expect(world.state(a)).toBe('on demand');
    let loaded = false;
    const loading = world.residency.load(a, signal).then(() => (loaded = true));
    await world.pass(2000);
    expect(loaded).toBe(true);
    await loading;
    expect(world.residency.reportOf(a)?.loads).toBe(2);
    expect(world.state(a)).toBe('on demand');
  });
});

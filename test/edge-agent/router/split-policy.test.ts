import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideSplit, totalMs, type SplitOption, type SplitView } from '@tidegate/edge-agent/router/split-policy.js';

const option = (name: string, hereMs: number, wayMs: number, thereMs: number, part = {}): SplitOption => ({
  name,
  whole: hereMs === 0,
  hereMs,
  wayMs,
  thereMs,
  guess: false,
  old: false,
  ...part,
});
const view = (part: Partial<SplitView> = {}): SplitView => ({
  hereMs: 176,
  hereOld: false,
  options: [option('picture', 0, 240, 44), option('features', 16, 16, 40)],
  current: 'here',
  remainingMs: 30_000,
  mayTry: true,
  forced: false,
  ...part,
});
const placeOf = (decision: ReturnType<typeof decideSplit>): string =>
  decision.place === 'here' ? 'here' : decision.option.name;

describe('decideSplit', () => {
  it('takes what is clearly fastest, and says why', () => {
    expect(decideSplit(view())).toMatchObject({
      place: 'cut',
      option: { name: 'features' },
      reason: 'a cut at features takes 72 ms, here 176 ms',
    });
    const fast = [option('picture', 0, 6, 44), option('features', 16, 2, 60)];
    expect(decideSplit(view({ options: fast }))).toMatchObject({ reason: 'the hub takes 50 ms, here 176 ms' });
    const slow = [option('picture', 0, 5000, 44), option('features', 16, 330, 40)];
    expect(decideSplit(view({ options: slow }))).toEqual({
      place: 'here',
      reason: 'here takes 176 ms, a cut at features 386 ms',
    });
  });

  it('measures the device first, and again after a long time', () => {
    expect(decideSplit(view({ hereMs: undefined }))).toEqual({ place: 'here', reason: 'not yet measured here' });
    expect(decideSplit(view({ hereOld: true }))).toMatchObject({ place: 'here' });
    expect(decideSplit(view({ hereOld: true, remainingMs: 150 }))).toMatchObject({ place: 'cut' });
    expect(decideSplit(view({ options: [] }))).toMatchObject({ place: 'here' });
  });

  it('tries a guess only beside the device, and only when it may', () => {
    const guess = [option('features', 16, 0, 0, { guess: true })];
    expect(decideSplit(view({ options: guess }))).toMatchObject({ place: 'cut', patienceMs: 0 });
    expect(decideSplit(view({ options: guess, mayTry: false }))).toMatchObject({ place: 'here' });
    const hopeless = [option('features', 180, 0, 0, { guess: true })];
    expect(decideSplit(view({ options: hopeless }))).toMatchObject({ place: 'here' });
    const old = [option('features', 16, 900, 40, { guess: true, old: true })];
    expect(decideSplit(view({ options: old }))).toMatchObject({ place: 'cut', patienceMs: 0 });
  });

  it('splits for a caller who asks for it, whatever it takes, and never as a whole', () => {
    const slow = [option('picture', 0, 1, 1), option('features', 16, 5000, 40)];
    expect(placeOf(decideSplit(view({ options: slow, forced: true })))).toBe('features');
    expect(placeOf(decideSplit(view({ hereMs: undefined, forced: true })))).toBe('features');
    expect(placeOf(decideSplit(view({ options: [option('picture', 0, 1, 1)], forced: true })))).toBe('here');
  });

  it('leaves the hub as much time as lets the device still finish by the deadline', () => {
    expect(decideSplit(view())).toMatchObject({ patienceMs: 112 }); // twice what is expected
    // 400 - 20 in reserve - 16 before the cut - twice 160 for the rest
    expect(decideSplit(view({ remainingMs: 400 }))).toMatchObject({ patienceMs: 44 });
    expect(decideSplit(view({ remainingMs: 300 }))).toMatchObject({ patienceMs: 0 });
  });
});

const ms = fc.double({ min: 0, max: 1000, noNaN: true });
const options = fc
  .array(fc.tuple(ms, ms, ms), { maxLength: 6 })
  .map((all) => all.map(([here, way, there], i) => option(`c${i}`, here + 0.01, way, there)));

describe('decideSplit, always', () => {
  it('is at most what counts as noise slower than the fastest of here and all options', () => {
    fc.assert(
      fc.property(options, ms, fc.nat(7), (all, hereMs, at) => {
        const decision = decideSplit(view({ options: all, hereMs, current: all[at]?.name ?? 'here' }));
        const taken = decision.place === 'here' ? hereMs : totalMs(decision.option);
        const best = Math.min(hereMs, ...all.map(totalMs));
        expect(taken - best).toBeLessThanOrEqual(Math.max(0.15 * taken, 2) + 1e-9);
      }),
    );
  });

  it('does not move for noise: what was chosen is chosen again when all times vary by a few percent', () => {
    const noise = fc.double({ min: 0.97, max: 1.03, noNaN: true });
    fc.assert(
      fc.property(options, ms, fc.array(noise, { minLength: 7, maxLength: 7 }), (all, hereMs, by) => {
        const first = placeOf(decideSplit(view({ options: all, hereMs })));
        const noisy = all.map((one, i) => ({
          ...one,
          hereMs: one.hereMs * by[i]!,
          wayMs: one.wayMs * by[i]!,
          thereMs: one.thereMs * by[i]!,
        }));
        const again = decideSplit(view({ options: noisy, hereMs: hereMs * by[6]!, current: first }));
        const firstMs = first === 'here' ? hereMs : totalMs(all.find(({ name }) => name === first)!);
        const bestMs = Math.min(hereMs, ...all.map(totalMs));
        if (firstMs - bestMs < 0.05 * firstMs) expect(placeOf(again)).toBe(first);
      }),
    );
  });

  it('answers in time where any place can', () => {
    fc.assert(
      fc.property(options, ms, ms, (all, hereMs, remainingMs) => {
        const decision = decideSplit(view({ options: all, hereMs, remainingMs: remainingMs + 20 }));
        const taken = decision.place === 'here' ? hereMs : totalMs(decision.option);
        if (Math.min(hereMs, ...all.map(totalMs)) < remainingMs) expect(taken).toBeLessThanOrEqual(remainingMs);
      }),
    );
  });
});

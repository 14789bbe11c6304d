// The policy by the thousand: random occupants and demands, and simulated hours of models that don't fit together.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decideRoom,
  decideShrink,
  minimumResidencyMs,
  type Occupant,
  type Wanted,
} from '@tidegate/shared/residency/residency-policy.js';

const occupant = (part: Partial<Occupant> = {}): Occupant => ({
  name: 'a',
  bytes: 100,
  loadMs: 500,
  usesPerS: 1,
  sinceMs: 0,
  pinned: false,
  stays: false,
  idle: true,
  ...part,
});
const wanted = (part: Partial<Wanted> = {}): Wanted => ({
  name: 'w',
  bytes: 100,
  loadMs: 500,
  usesPerS: 1,
  urgent: false,
  ...part,
});
const sum = (some: readonly { readonly bytes: number }[]): number =>
  some.reduce((total, { bytes }) => total + bytes, 0);
const memory = { limitBytes: 300, ownBytes: 50, modelsMax: Infinity };
const LATER = 3_600_000;

const anyOccupant: fc.Arbitrary<Occupant> = fc.record({
  name: fc.string(),
  bytes: fc.integer({ min: 1, max: 1000 }),
  loadMs: fc.integer({ min: 0, max: 60_000 }),
  usesPerS: fc.oneof(fc.constant(0), fc.double({ min: 1e-6, max: 1000, noNaN: true })),
  sinceMs: fc.integer({ min: 0, max: LATER }),
  pinned: fc.boolean(),
  stays: fc.boolean(),
  stateEndsMs: fc.oneof(fc.constant(undefined), fc.integer({ min: 0, max: 2 * LATER })),
  idle: fc.boolean(),
});
const anyWanted: fc.Arbitrary<Wanted> = fc.record({
  name: fc.string(),
  bytes: fc.integer({ min: 1, max: 2000 }),
  loadMs: fc.integer({ min: 0, max: 60_000 }),
  usesPerS: fc.double({ min: 1e-6, max: 1000, noNaN: true }),
  urgent: fc.boolean(),
});
const anyMemory = fc.record({
  limitBytes: fc.integer({ min: 1, max: 5000 }),
  ownBytes: fc.integer({ min: 0, max: 500 }),
  modelsMax: fc.oneof(fc.constant(Infinity), fc.integer({ min: 1, max: 8 })),
});

describe('decideRoom', () => {
  it('lets in what fits', () => {
    expect(decideRoom(wanted(), [occupant()], memory, 0)).toEqual({ kind: 'load', leave: [] });
  });

  it('has the one leave that is worth least: time of loading x uses, per byte', () => {
    const slow = occupant({ name: 'slow', loadMs: 5000 });
    const rare = occupant({ name: 'rare', usesPerS: 0.1 });
    const decision = decideRoom(wanted(), [slow, rare], memory, LATER);
    expect(decision).toEqual({ kind: 'load', leave: [rare] });
  });

  it('has nobody leave in vain', () => {
    const small = occupant({ name: 'small', bytes: 10, usesPerS: 0.001 });
    const large = occupant({ name: 'large', bytes: 190, usesPerS: 2 });
    expect(decideRoom(wanted(), [small, large], memory, LATER)).toEqual({ kind: 'load', leave: [large] });
  });

  it('says what is needed and what is there of a model that never fits', () => {
    const MIB = 2 ** 20;
    const pinned = occupant({ bytes: 20 * MIB, pinned: true });
    const budget = { ...memory, limitBytes: 100 * MIB, ownBytes: 30 * MIB };
    expect(decideRoom(wanted({ bytes: 60 * MIB }), [pinned], budget, LATER)).toEqual({
      kind: 'never',
      reason:
        'it needs 60 MiB, and the memory budget of 100 MiB leaves 50 MiB (beside the models 30 MiB are used, models that stay 20 MiB)',
    });
  });

  it('bounds the number of models in memory as it does their bytes', () => {
    const places = { limitBytes: Infinity, ownBytes: 50, modelsMax: 2 };
    const both = [occupant(), occupant({ name: 'rare', usesPerS: 0.1 })];
    expect(decideRoom(wanted(), both, { ...places, modelsMax: 3 }, 0)).toEqual({ kind: 'load', leave: [] });
    expect(decideRoom(wanted(), both, places, LATER)).toEqual({ kind: 'load', leave: [both[1]] });
    expect(decideRoom(wanted(), both, places, 4000)).toEqual({
      kind: 'wait',
      untilMs: 10_000,
      againMs: 10_000,
      reason: 'the places of the 2 models that may be in memory are taken by a, rare for another 6 s',
    });
    const pinned = both.map((one) => ({ ...one, pinned: true }));
    expect(decideRoom(wanted(), pinned, places, LATER)).toEqual({
      kind: 'never',
      reason: 'all 2 models that may be in memory are pinned',
    });
  });

  it('lets a busy model stay longer, in proportion, but not for ever', () => {
    const rare = wanted({ usesPerS: 0.01 });
    expect(minimumResidencyMs(occupant({ usesPerS: 0.05 }), rare)).toBeCloseTo(50_000);
    expect(minimumResidencyMs(occupant({ usesPerS: 1000 }), rare)).toBe(300_000);
    expect(minimumResidencyMs(occupant({ usesPerS: 0.001 }), rare)).toBe(10_000);
    expect(minimumResidencyMs(occupant({ loadMs: 3000 }), wanted())).toBeGreaterThanOrEqual(30_000);
  });

  it('asks no patience for a model that nobody has asked for', () => {
    expect(minimumResidencyMs(occupant({ usesPerS: 0 }), wanted())).toBe(0);
  });

  it('says how long to wait otherwise, but an urgent one waits only for what is being loaded', () => {
    const both = [occupant({ bytes: 125 }), occupant({ name: 'b', bytes: 125 })];
    const decision = decideRoom(wanted(), both, memory, 4000);
    expect(decision).toEqual({
      kind: 'wait',
      untilMs: 10_000,
      againMs: 10_000,
      reason: 'the memory budget (0 MiB) is taken by a, b for another 6 s',
    });
    expect(decideRoom(wanted({ urgent: true }), both, memory, 4000).kind).toBe('load');
    const coming = both.map((one) => ({ ...one, stays: true }));
    expect(decideRoom(wanted({ urgent: true }), coming, memory, 4000).kind).toBe('wait');
  });

  it('knows when a sequence ends at the latest, and asks again before', () => {
    const held = [occupant({ bytes: 250, stays: true, stateEndsMs: 60_000 })];
    const decision = decideRoom(wanted(), held, memory, 20_000);
    expect(decision).toMatchObject({ kind: 'wait', untilMs: 60_000, againMs: 20_250 });
    expect(decision).toMatchObject({ reason: expect.stringContaining('a (in a sequence) for another 40 s') as string });
    const urgent = decideRoom(wanted({ urgent: true }), held, memory, 20_000);
    expect(urgent).toMatchObject({ kind: 'wait', againMs: 20_250 });
  });

  it('never lets the budget be exceeded, and never has leave what is pinned, is loaded now, or came too lately', () => {
    fc.assert(
      fc.property(fc.array(anyOccupant, { maxLength: 8 }), anyWanted, anyMemory, (occupants, want, budget) => {
        const decision = decideRoom(want, occupants, budget, LATER);
        if (decision.kind === 'wait') expect(decision.againMs).toBeGreaterThan(LATER);
        if (decision.kind === 'wait') expect(decision.untilMs).toBeGreaterThanOrEqual(decision.againMs);
        if (decision.kind !== 'load') return;
        const stay = occupants.filter((one) => !decision.leave.includes(one));
        expect(budget.ownBytes + sum(stay) + want.bytes).toBeLessThanOrEqual(budget.limitBytes);
        expect(stay.length + 1).toBeLessThanOrEqual(budget.modelsMax);
        for (const one of decision.leave) {
          expect(one.pinned || one.stays).toBe(false);
          if (!want.urgent) expect(LATER - one.sinceMs).toBeGreaterThanOrEqual(minimumResidencyMs(one, want));
        }
      }),
    );
  });
});

describe('decideShrink', () => {
  it('changes nothing within the budget', () => {
    expect(decideShrink([occupant()], memory, 0)).toEqual({ leave: [], overBytes: 0 });
  });

  it('has the least worth leave until it is within the budget, however lately they came', () => {
    const rare = occupant({ name: 'rare', usesPerS: 0.1, bytes: 200 });
    expect(decideShrink([occupant(), rare], memory, 0)).toEqual({ leave: [rare], overBytes: 0 });
  });

  it('has the only one begin anew when it has nothing to do, and not all the time', () => {
    const only = occupant({ bytes: 400 });
    expect(decideShrink([{ ...only, idle: false }], memory, LATER)).toEqual({ leave: [], overBytes: 150 });
    expect(decideShrink([only], memory, 5000)).toEqual({ leave: [], overBytes: 150 });
    expect(decideShrink([only], memory, LATER)).toEqual({ leave: [only], overBytes: 0 });
  });

  it('leaves pinned ones alone, and tells what is too much', () => {
    const pinned = occupant({ bytes: 400, pinned: true });
    expect(decideShrink([pinned], memory, LATER)).toEqual({ leave: [], overBytes: 150 });
    fc.assert(
      fc.property(fc.array(anyOccupant, { maxLength: 8 }), anyMemory, (occupants, budget) => {
        const { leave, overBytes } = decideShrink(occupants, budget, LATER);
        const stay = occupants.filter((one) => !leave.includes(one));
        expect(budget.ownBytes + sum(stay)).toBeLessThanOrEqual(budget.limitBytes + overBytes);
        expect(leave.some(({ pinned: never, stays }) => never || stays)).toBe(false);
      }),
    );
  });
});

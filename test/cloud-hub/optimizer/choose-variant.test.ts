import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  accuracyLost,
  chooseVariant,
  SCORE_TOLERANCE,
  TIME_MARGIN,
  type Candidate,
} from '@tidegate/cloud-hub/optimizer/choose-variant.js';

const fp32 = { score: 0.94, passed: true, sizeBytes: 1000 };
const exactly = (ratio: number): Candidate['timeRatio'] => ({ low: ratio * 0.99, median: ratio, high: ratio * 1.01 });
const candidate = (variant: string, changes: Partial<Candidate> = {}): Candidate => ({
  variant,
  score: 0.94,
  passed: true,
  sizeBytes: 500,
  timeRatio: exactly(0.5),
  ...changes,
});

/** Outcomes by variant, fp32 among them. */
function outcomes(...candidates: Candidate[]): Record<string, string> {
  const choice = chooseVariant('exact', fp32, candidates);
  return {
    fp32: choice.fp32.outcome,
    ...Object.fromEntries([...choice.candidates].map(([name, { outcome }]) => [name, outcome])),
  };
}

const reasonOf = (one: Candidate): string | undefined =>
  chooseVariant('exact', fp32, [one]).candidates.get(one.variant)?.reason;

describe('accuracy comes first', () => {
  it('refuses the fastest and smallest when it loses more than the tolerance', () => {
    const wrong = candidate('int4', { score: 0.71, sizeBytes: 100, timeRatio: undefined });
    expect(outcomes(wrong)).toEqual({ fp32: 'chosen', int4: 'refused' });
    expect(reasonOf(wrong)).toBe('accuracy 0.71 under 0.94 - 0.01');
  });

  it('refuses what fails the threshold of model.yaml, and scores that are no numbers', () => {
    expect(reasonOf(candidate('a', { passed: false }))).toBe('its goldens fail: exact 0.94, fp32 0.94');
    expect(outcomes(candidate('a', { score: NaN }))).toEqual({ fp32: 'chosen', a: 'refused' });
  });

  it('accepts a loss within the tolerance', () => {
    expect(outcomes(candidate('a', { score: 0.94 - SCORE_TOLERANCE + 1e-9 }))).toEqual({ fp32: 'kept', a: 'chosen' });
  });

  it('judges largest errors, where less is better, by the threshold alone', () => {
    expect(accuracyLost('max-abs-error', { score: 0, passed: true }, { score: 0.5, passed: true })).toBeUndefined();
    expect(accuracyLost('max-abs-error', { score: 0, passed: true }, { score: 3, passed: false })).toContain(
      'goldens fail',
    );
  });
});

describe('then speed, as far as it is certain', () => {
  it('refuses what is slower', () => {
    expect(outcomes(candidate('a', { timeRatio: exactly(1.3), sizeBytes: 10 }))).toEqual({
      fp32: 'chosen',
      a: 'refused',
    });
    expect(reasonOf(candidate('a', { timeRatio: exactly(1.3) }))).toBe('slower than fp32 (1.30x its engine time)');
  });

  it('chooses the fastest', () => {
    expect(outcomes(candidate('a'), candidate('b', { timeRatio: exactly(0.3), sizeBytes: 900 }))).toEqual({
      fp32: 'kept',
      a: 'kept',
      b: 'chosen',
    });
  });

  it('chooses the smallest of those equally fast', () => {
    expect(outcomes(candidate('a'), candidate('b', { timeRatio: exactly(0.51), sizeBytes: 400 }))).toEqual({
      fp32: 'kept',
      a: 'kept',
      b: 'chosen',
    });
  });

  it('chooses a faster one that is larger than fp32, but never calls a noisy one faster or slower', () => {
    expect(outcomes(candidate('a', { sizeBytes: 2000 }))).toEqual({ fp32: 'kept', a: 'chosen' });
    expect(outcomes(candidate('a', { sizeBytes: 2000, timeRatio: { low: 0.4, median: 0.6, high: 1.1 } }))).toEqual({
      fp32: 'chosen',
      a: 'kept',
    });
    expect(outcomes(candidate('a', { sizeBytes: 2000, timeRatio: { low: 0.9, median: 1.4, high: 2 } }))).toEqual({
      fp32: 'chosen',
      a: 'kept',
    });
  });
});

describe('then size', () => {
  it('chooses the smallest of those as fast as fp32', () => {
    const equal = { timeRatio: exactly(1) };
    expect(outcomes(candidate('a', equal), candidate('b', { ...equal, sizeBytes: 300 }))).toEqual({
      fp32: 'kept',
      a: 'kept',
      b: 'chosen',
    });
    expect(reasonOf(candidate('a', equal))).toBe(
      "as fast as fp32 and smaller: 1.00x fp32's engine time, 0.50x its size",
    );
  });

  it('keeps fp32 where nothing is gained', () => {
    expect(outcomes(candidate('a', { timeRatio: exactly(1), sizeBytes: 990 }))).toEqual({ fp32: 'chosen', a: 'kept' });
    expect(outcomes()).toEqual({ fp32: 'chosen' });
  });
});

it('always chooses exactly one, which is accurate and not surely slower', () => {
  const ratio = fc.double({ min: 0.1, max: 3, noNaN: true });
  const any = fc.record({
    score: fc.double({ min: 0, max: 1 }),
    passed: fc.boolean(),
    sizeBytes: fc.integer({ min: 1, max: 3000 }),
    timeRatio: fc.option(fc.tuple(ratio, ratio, ratio), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(any, { maxLength: 6 }), (list) => {
      const candidates = list.map(({ timeRatio, ...rest }, i): Candidate => {
        const [low = 0, median = 0, high = 0] = [...(timeRatio ?? [])].sort((a, b) => a - b);
        return { ...rest, variant: `v${i}`, timeRatio: timeRatio === undefined ? undefined : { low, median, high } };
      });
      const choice = chooseVariant('exact', fp32, candidates);
      const chosen = candidates.filter(({ variant }) => choice.candidates.get(variant)?.outcome === 'chosen');
      expect(choice.candidates.size).toBe(candidates.length);
      expect(chosen.length + (choice.fp32.outcome === 'chosen' ? 1 : 0)).toBe(1);
      for (const { score, passed, timeRatio } of chosen) {
        expect(passed && score >= fp32.score - SCORE_TOLERANCE).toBe(true);
        expect(timeRatio?.low).toBeLessThanOrEqual(1 + TIME_MARGIN);
      }
    }),
  );
});

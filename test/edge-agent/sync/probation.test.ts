import { describe, expect, it } from 'vitest';
import { judgeProbation, NOTHING_OBSERVED, type ProbationInput } from '@tidegate/edge-agent/sync/probation.js';

const base: ProbationInput = {
  now: NOTHING_OBSERVED,
  before: undefined,
  startedMs: 1000,
  durationMs: 500,
  interruptions: 0,
  interruptionsMax: 3,
  nowMs: 1100,
};
const observed = (requests: number, errors: number, meanMs: number, executorDeaths = 0) => ({
  requests,
  errors,
  latencySumMs: (requests - errors) * meanMs,
  executorDeaths,
});

describe('probation', () => {
  it('watches until its time is over, then passes, also where nobody asked anything', () => {
    expect(judgeProbation(base)).toEqual({ kind: 'watching', untilMs: 1500 });
    expect(judgeProbation({ ...base, nowMs: 1500 })).toEqual({ kind: 'passed' });
    expect(judgeProbation({ ...base, durationMs: 0 })).toEqual({ kind: 'passed' });
  });

  it('fails on errors beyond those of the version before, and not on a few', () => {
    expect(judgeProbation({ ...base, now: observed(19, 19, 1) }).kind).toBe('watching');
    expect(judgeProbation({ ...base, now: observed(100, 11, 1) })).toMatchObject({
      kind: 'failed',
      reason: 'error rate 0.110 over 0.100 in 100 requests',
    });
    const noisy = { ...base, before: observed(100, 30, 1) };
    expect(judgeProbation({ ...noisy, now: observed(100, 35, 1) }).kind).toBe('watching');
    expect(judgeProbation({ ...noisy, now: observed(100, 45, 1) }).kind).toBe('failed');
  });

  it('fails on latency against the version before, never without one', () => {
    expect(judgeProbation({ ...base, now: observed(50, 0, 900) }).kind).toBe('watching');
    expect(judgeProbation({ ...base, now: observed(50, 0, 31), before: observed(50, 0, 10) })).toMatchObject({
      kind: 'failed',
    });
    expect(judgeProbation({ ...base, now: observed(50, 0, 29), before: observed(50, 0, 10) }).kind).toBe('watching');
    expect(judgeProbation({ ...base, now: observed(50, 0, 99), before: observed(5, 0, 10) }).kind).toBe('watching');
  });

  it('fails when its executor keeps dying, or the agent with it', () => {
    expect(judgeProbation({ ...base, now: observed(1, 0, 1, 2) }).kind).toBe('watching');
    expect(judgeProbation({ ...base, now: observed(1, 0, 1, 3) }).kind).toBe('failed');
    expect(judgeProbation({ ...base, interruptions: 3, nowMs: 9999 }).kind).toBe('failed');
  });
});

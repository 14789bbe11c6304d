import { BodyBudget } from '@tidegate/shared/serving/http/body-budget.js';
import { describe, expect, it } from 'vitest';

const MIB = 1 << 20;
const FULL = expect.objectContaining({ code: 'queue-full', retryAfterMs: 1000 }) as Error;

describe('when bodies are held', () => {
  it('counts what has come, and gives it back as a whole', () => {
    const budget = new BodyBudget(64 * MIB);
    const share = budget.open();
    share.grow(30 * MIB);
    share.grow(30 * MIB);
    expect(budget.usedBytes).toBe(60 * MIB);
    share.release();
    expect(budget.usedBytes).toBe(0);
  });

  it('refuses what would pass the bound, at its announcement already', () => {
    const budget = new BodyBudget(64 * MIB);
    budget.open().grow(60 * MIB);
    expect(() => budget.open().expect(5 * MIB)).toThrow(FULL);
    expect(() => budget.open().grow(5 * MIB)).toThrow(FULL);
    expect(budget.usedBytes).toBe(60 * MIB);
  });

  it('counts nothing of a body that is only announced', () => {
    const budget = new BodyBudget(64 * MIB);
    for (let sender = 0; sender < 10; sender++) budget.open().expect(64 * MIB);
    expect(budget.usedBytes).toBe(0);
  });

  it('has room on top for small bodies while large ones fill the bound, and not for the beginnings of large ones', () => {
    const budget = new BodyBudget(64 * MIB);
    budget.open().grow(64 * MIB);
    const beginning = budget.open();
    expect(() => beginning.expect(2 * MIB)).toThrow(FULL);
    expect(() => beginning.grow(1000)).toThrow(FULL);
    for (let small = 0; small < 4; small++) budget.open().grow(MIB);
    expect(() => budget.open().grow(1)).toThrow(FULL);
  });
});

import { describe, expect, it } from 'vitest';
import { estimatedBytes, memoryBudget } from '@tidegate/edge-agent/engine/memory-budget.js';

const MIB = 2 ** 20;

describe('memoryBudget', () => {
  it('is what was asked for, but never what the cgroup would kill for', () => {
    expect(memoryBudget(512 * MIB, undefined)).toBe(512 * MIB);
    expect(memoryBudget(512 * MIB, 1024 * MIB)).toBe(512 * MIB);
    expect(memoryBudget(1024 * MIB, 500 * MIB)).toBe(450 * MIB);
  });

  it('is the share of the cgroup where nothing was asked for, and none where nobody sets any', () => {
    expect(memoryBudget(undefined, 100 * MIB)).toBe(90 * MIB);
    expect(memoryBudget(undefined, undefined)).toBeUndefined();
    expect(memoryBudget('none', 100 * MIB)).toBeUndefined();
  });
});

it('expects an executor for each graph, and more than the files', () => {
  expect(estimatedBytes(1, 0)).toBe(40 * MIB);
  expect(estimatedBytes(3, 100 * MIB)).toBe(245 * MIB);
});

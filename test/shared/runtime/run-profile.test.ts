import { describe, expect, it } from 'vitest';
import { inputElements, RunProfile } from '@tidegate/shared/runtime/run-profile.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';

describe('run profile', () => {
  it('knows nothing before it has measured', () => {
    expect(new RunProfile().expectedUs(10)).toBeUndefined();
    expect(new RunProfile().slowestUs(10)).toBeUndefined();
  });

  it('counts elements over all inputs, bytes for BYTES', () => {
    const feeds = [tensor('a', 'FP32', [2, 3], Buffer.alloc(24)), tensor('b', 'BYTES', [1], Buffer.alloc(104))];
    expect(inputElements(feeds)).toBe(110);
    expect(inputElements([tensor('scalar', 'FP32', [], Buffer.alloc(4))])).toBe(1);
  });

  it('smooths, and remembers the slowest for a while', () => {
    const profile = new RunProfile();
    profile.record(100, 1_000);
    profile.record(100, 2_000);
    expect(profile.expectedUs(100)).toBe(1_200);
    expect(profile.slowestUs(100)).toBe(2_000);
    for (let i = 0; i < 200; i++) profile.record(100, 1_000);
    expect(profile.expectedUs(100)).toBeCloseTo(1_000);
    expect(profile.slowestUs(100)).toBeCloseTo(1_000);
  });

  it('tells small batches apart', () => {
    const profile = new RunProfile();
    [1, 2, 3, 4].forEach((rows) => profile.record(rows * 1_000, rows * 10));
    expect([1, 2, 3, 4].map((rows) => profile.expectedUs(rows * 1_000))).toEqual([10, 20, 30, 40]);
  });

  it('scales up from the nearest size for one that is new, never down', () => {
    const profile = new RunProfile();
    profile.record(100, 10);
    profile.record(10_000, 500);
    expect(profile.expectedUs(20_000)).toBe(1_000);
    expect(profile.expectedUs(1)).toBe(10);
  });
});

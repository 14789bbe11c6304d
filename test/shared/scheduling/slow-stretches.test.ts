import { describe, expect, it } from 'vitest';
import { SlowStretches } from '@tidegate/shared/scheduling/slow-stretches.js';

/** Runs of usually 20 ms one after the other, from `fromMs`; answers when the last one ended. */
function runs(stretches: SlowStretches, count: number, ms: number, fromMs = 0): number {
  for (let i = 1; i <= count; i += 1) stretches.observe(ms, 20, fromMs + i * ms);
  return fromMs + count * ms;
}

describe('SlowStretches', () => {
  it('leaves a quarter of the wait for others to what was never seen, 100 ms at most, and nothing of its own run', () => {
    const stretches = new SlowStretches();
    expect(stretches.slipMs(20, 20, 0)).toBe(0);
    expect(stretches.slipMs(60, 20, 0)).toBe(10);
    expect(stretches.slipMs(1000, 20, 0)).toBe(100);
    const nowMs = runs(stretches, 1000, 20.5); // no slow stretch, however long it goes on
    expect(stretches.slipMs(1000, 20, nowMs)).toBe(100);
  });

  it('leaves half as much again as a stretch cost, but no more than that pace costs the wait', () => {
    const stretches = new SlowStretches();
    const nowMs = runs(stretches, 10, 40, runs(stretches, 10, 20)); // 10 x 20 ms behind, of which 10 x 2 are nothing
    expect(stretches.slipMs(1000, 20, nowMs)).toBeCloseTo(1.5 * 180, 0);
    expect(stretches.slipMs(100, 20, nowMs)).toBeGreaterThan(95); // twice as long
    expect(stretches.slipMs(100, 20, nowMs)).toBeLessThanOrEqual(100);
    expect(stretches.slipMs(1000, 20, nowMs + 600_000)).toBe(100); // forgotten
  });

  it('remembers the worst, and what several runs at once lose is shared', () => {
    const [one, two] = [new SlowStretches(1), new SlowStretches(2)];
    let nowMs = 0;
    for (const stretches of [one, two]) {
      nowMs = runs(stretches, 10, 40);
      nowMs = runs(stretches, 100, 20, nowMs); // caught up
      nowMs = runs(stretches, 3, 30, nowMs);
    }
    expect(one.slipMs(1000, 20, nowMs)).toBeGreaterThan(250);
    expect(two.slipMs(1000, 20, nowMs)).toBeCloseTo(one.slipMs(1000, 20, nowMs) / 2, 5);
  });

  it('takes a run that hung for no more than four times as long', () => {
    const stretches = new SlowStretches();
    stretches.observe(4000, 20, 4000);
    expect(stretches.slipMs(10_000, 20, 4000)).toBe(100);
  });
});

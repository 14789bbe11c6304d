import { describe, expect, it } from 'vitest';
import { cellsOf } from '@tidegate/edge-agent/profile/profile-plan.js';
import { runCells } from '@tidegate/edge-agent/profile/run-cells.js';
import type { GraphRunner } from '@tidegate/shared/runtime/graph-runner.js';
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';
import { ManualClock } from '../../support/manual-clock.js';

const row = [tensor('x', 'FP32', [1, 1], bytesOf(Float32Array.of(1)))];
const signal = new AbortController().signal;

/** A run takes `msPerRow` for each of its rows, on a clock of its own making. */
function runnerOf(clock: ManualClock, msPerRow: number, ran: number[] = []): GraphRunner {
  const run: GraphRunner['run'] = ([feed]) => {
    const rows = feed?.shape[0] ?? 0;
    ran.push(rows);
    clock.advance(rows * msPerRow);
    return Promise.resolve({ outputs: [], computeUs: rows * msPerRow * 500 });
  };
  return { run } as Partial<GraphRunner> as GraphRunner;
}

describe('runCells', () => {
  it('measures each cell for its share of the time, and stops by itself', async () => {
    const clock = new ManualClock();
    const shares: number[] = [];
    const options = { budgetMs: 10_000, clock, onProgress: (share: number) => void shares.push(share) };
    const runner = runnerOf(clock, 2);
    const [cells] = await runCells([{ runner, row, cells: cellsOf([1, 4], 1) }], options, signal);
    expect(cells).toMatchObject([
      { batch: 1, p50Ms: 2, p99Ms: 2, engineP50Ms: 1, rowP50Ms: 2, rowsPerSecond: 500 },
      { batch: 4, p50Ms: 8, p99Ms: 8, engineP50Ms: 4, rowP50Ms: 2, rowsPerSecond: 500 },
    ]);
    const [one, four] = cells?.map(({ runs }) => runs) ?? [];
    expect((one ?? 0) / (four ?? 1)).toBeCloseTo(4, 0); // equal time, not equal runs
    expect(clock.monotonicMs()).toBeLessThanOrEqual(10_000 + 8);
    expect(shares.at(-1)).toBeLessThanOrEqual(1);
  });

  it('goes round over all executors, so that a bad minute is shared', async () => {
    const clock = new ManualClock();
    const order: string[] = [];
    const named = (name: string): GraphRunner => {
      const inner = runnerOf(clock, 10);
      const run: GraphRunner['run'] = (...args) => (order.push(name), inner.run(...args));
      return { run } as Partial<GraphRunner> as GraphRunner;
    };
    const both = ['a', 'b'].map((name) => ({ runner: named(name), row, cells: cellsOf([1], 1) }));
    await runCells(both, { budgetMs: 2000, clock, onProgress: () => undefined }, signal);
    const turns = order.filter((name, index) => name !== order[index - 1]).length;
    expect(turns).toBeGreaterThanOrEqual(8); // six rounds, each from another start
  });

  it('does not begin what would take longer than what is left', async () => {
    const clock = new ManualClock();
    const ran: number[] = [];
    const runner = runnerOf(clock, 2000, ran);
    const options = { budgetMs: 9000, clock, onProgress: () => undefined };
    const [cells] = await runCells([{ runner, row, cells: cellsOf([1, 32], 1) }], options, signal);
    expect(ran).not.toContain(32);
    expect(cells?.map(({ batch }) => batch)).toEqual([1]);
    expect(clock.monotonicMs()).toBeLessThanOrEqual(10_000);
  });
});

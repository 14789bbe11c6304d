// Runs the cells of executors that are loaded side by side, in rounds, until the time is over. A cell whose single run would
// take longer than what is left is not begun; what was never measured is missing from the result, not guessed.
import type { GraphRunner } from '@tidegate/shared/runtime/graph-runner.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import type { CellMeasure } from './profile-report.js';
import { quantile, sliceMs, type Cell } from './profile-plan.js';
import { repeatRow } from './profile-rows.js';

/** Runs whose times are kept per cell; beyond, the newest replace the oldest. */
const LIMIT_TIMES = 50_000;
const WARM_UP_RUNS = 3;

export interface LoadedConfiguration {
  readonly runner: GraphRunner;
  readonly row: readonly NamedTensor[];
  readonly cells: readonly Cell[];
}

interface CellRun {
  readonly runner: GraphRunner;
  readonly cell: Cell;
  readonly feeds: readonly NamedTensor[];
  readonly timesMs: number[];
  readonly engineMs: number[];
  runs: number;
  wallMs: number;
  /** Of the warm-up's last run. */
  expectedMs: number;
}

interface RunCellsOptions {
  readonly budgetMs: number;
  readonly clock: Clock;
  /** Called between slices, with the share of the time that is over (0 to 1). */
  readonly onProgress: (share: number) => void;
}

/** The measures in the order of `configurations`, each cell that was reached. Rejects with RuntimeError, or when aborted. */
export async function runCells(
  configurations: readonly LoadedConfiguration[],
  { budgetMs, clock, onProgress }: RunCellsOptions,
  signal: AbortSignal,
): Promise<CellMeasure[][]> {
  const startMs = clock.monotonicMs();
  const leftMs = (): number => startMs + budgetMs - clock.monotonicMs();
  const runs = configurations.map(({ runner, row, cells }) =>
    cells.map((cell): CellRun => {
      const feeds = repeatRow(row, cell.batch);
      return { runner, cell, feeds, timesMs: [], engineMs: [], runs: 0, wallMs: 0, expectedMs: 0 };
    }),
  );
  const all = runs.flat().sort((a, b) => a.cell.batch - b.cell.batch);
  const reached: CellRun[] = [];
  for (const run of all) {
    if (leftMs() <= 0 || likelyMs(run, reached) > leftMs()) continue;
    await warmUp(run, clock, signal);
    await slice(run, 0, clock, signal); // one measured run each, before any gets its share
    reached.push(run);
    onProgress(1 - leftMs() / budgetMs);
  }
  const shareMs = sliceMs(leftMs(), reached.length);
  for (let round = 0; leftMs() > 0 && reached.length > 0; round += 1) {
    for (const index of reached.keys()) {
      const run = reached[(index + round) % reached.length] as CellRun;
      if (leftMs() <= 0) break;
      if (run.expectedMs > leftMs()) continue;
      await slice(run, Math.min(shareMs, leftMs()), clock, signal);
      onProgress(Math.min(1, 1 - leftMs() / budgetMs));
    }
    if (reached.every((run) => run.expectedMs > leftMs())) break;
  }
  return runs.map((cells) => cells.filter((run) => run.runs > 0).map(measureOf));
}

/** From the next smaller batch of the same executor: at most in proportion, several times for the warm-up. */
function likelyMs({ runner, cell }: CellRun, reached: readonly CellRun[]): number {
  const smaller = reached.filter((other) => other.runner === runner).at(-1);
  if (smaller === undefined) return 0;
  return 2 * smaller.expectedMs * (cell.batch / smaller.cell.batch);
}

async function warmUp(run: CellRun, clock: Clock, signal: AbortSignal): Promise<void> {
  for (let count = 0; count < WARM_UP_RUNS; count += 1) {
    const startMs = clock.monotonicMs();
    await run.runner.run(run.feeds, [], signal);
    run.expectedMs = clock.monotonicMs() - startMs;
    if (run.expectedMs > 1000) return; // a run of seconds is not warmed up for minutes
  }
}

/** At least one run per stream. */
async function slice(run: CellRun, forMs: number, clock: Clock, signal: AbortSignal): Promise<void> {
  const startMs = clock.monotonicMs();
  const stream = async (): Promise<void> => {
    do {
      const beforeMs = clock.monotonicMs();
      const { computeUs } = await run.runner.run(run.feeds, [], signal);
      const at = run.runs % LIMIT_TIMES;
      run.timesMs[at] = clock.monotonicMs() - beforeMs;
      run.engineMs[at] = computeUs / 1000;
      run.runs += 1;
    } while (clock.monotonicMs() - startMs < forMs);
  };
  await Promise.all(Array.from({ length: run.cell.streams }, stream));
  run.wallMs += clock.monotonicMs() - startMs;
}

function measureOf({ cell, timesMs, engineMs, runs, wallMs }: CellRun): CellMeasure {
  const ascending = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);
  const times = ascending(timesMs);
  const [p50Ms, p99Ms] = [quantile(times, 0.5), quantile(times, 0.99)];
  return {
    ...cell,
    runs,
    p50Ms,
    p99Ms,
    engineP50Ms: quantile(ascending(engineMs), 0.5),
    rowP50Ms: p50Ms / cell.batch,
    rowP99Ms: p99Ms / cell.batch,
    rowsPerSecond: (runs * cell.batch * 1000) / wallMs,
  };
}

// Which settings a profile tries, and for how long. Pure. Every cell (threads, batch, runs at once) gets the same share of the
// time, cut into rounds over all of them, so that what a minute of other load costs is spread and not one cell's misfortune.

export interface Cell {
  readonly batch: number;
  readonly streams: number;
}

/** Rounds over all cells within the time. */
const ROUNDS = 6;
const DEFAULT_BATCHES = [1, 2, 4, 8, 16, 32];

/** 1, 2, 4 ... and all cores. */
export function threadCounts(cores: number): number[] {
  const counts: number[] = [];
  for (let count = 1; count < cores; count *= 2) counts.push(count);
  return [...counts, cores];
}

/** Powers of two up to what the package lets one run take, and that itself. */
export function batchSizes(asked: readonly number[] | undefined, maxRows: number): number[] {
  const sizes = asked ?? [...DEFAULT_BATCHES.filter((size) => size < maxRows), maxRows];
  return [...new Set(sizes)].sort((a, b) => a - b);
}

/** Each batch alone, then as many at once as would be served. Small ones first: they matter most where time runs out. */
export function cellsOf(batches: readonly number[], concurrency: number): Cell[] {
  return batches.flatMap((batch) => [1, concurrency].map((streams) => ({ batch, streams }))).filter(isFirst);
}

function isFirst(cell: Cell, index: number, cells: readonly Cell[]): boolean {
  return cells.findIndex(({ batch, streams }) => batch === cell.batch && streams === cell.streams) === index;
}

export function sliceMs(budgetMs: number, cellCount: number): number {
  return budgetMs / Math.max(1, cellCount) / ROUNDS;
}

/** How many executors may be loaded side by side; those beyond are measured after them, no longer interleaved with them. */
export function loadedTogether(executorBytes: number | undefined, freeBytes: number, count: number): number {
  if (executorBytes === undefined || executorBytes <= 0) return count;
  return Math.min(count, Math.max(1, Math.floor(freeBytes / 2 / executorBytes)));
}

/** The smallest of the sorted values that `share` of them do not pass. NaN where there is none. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

// A profile as a person reads it: a table per graph, then what was skipped, warned and advised.
import type { ConfigurationMeasure, GraphMeasure, ProfileReport } from './profile-report.js';

const COLUMNS = ['threads', 'batch', 'at once', 'p50 ms', 'p99 ms', 'per row', 'rows/s', 'runs'] as const;

export function profileText(report: ProfileReport): string {
  const { device, graphs, warnings, advice, tookMs } = report;
  const lines = [`${device}; measured in ${(tookMs / 1000).toFixed(0)} s`];
  lines.push(...warnings.map((warning) => `warning: ${warning}`));
  for (const graph of graphs) lines.push('', ...graphLines(graph));
  lines.push('', ...advice);
  return `${lines.join('\n')}\n`;
}

function graphLines(graph: GraphMeasure): string[] {
  const { label, graph: file, rows, loadFirstMs, configurations, skipped } = graph;
  const from = rows === 'golden' ? "a row of the package's first golden" : 'a row made up from the signature';
  const lines = [`${label} ${file} (${from}; first load ${loadFirstMs.toFixed(0)} ms)`];
  for (const provider of new Set(configurations.map((one) => one.provider))) {
    const own = configurations.filter((one) => one.provider === provider);
    lines.push(`  on ${provider}, ${own[0]?.engine ?? ''}`, ...table([COLUMNS, ...own.flatMap(cellRows)]));
    lines.push(...own.map(memoryLine));
  }
  return [...lines, ...skipped.map((reason) => `  not measured: ${reason}`)];
}

function cellRows({ threads, cells }: ConfigurationMeasure): string[][] {
  return cells.map(({ batch, streams, p50Ms, p99Ms, rowP50Ms, rowsPerSecond, runs }) => [
    ...[threads, batch, streams].map(String),
    ...[p50Ms, p99Ms, rowP50Ms].map((value) => value.toFixed(value < 10 ? 3 : 1)),
    ...[rowsPerSecond.toFixed(rowsPerSecond < 100 ? 1 : 0), String(runs)],
  ]);
}

function memoryLine({ threads, loadAgainMs, residentBytes, peakResidentBytes }: ConfigurationMeasure): string {
  const memory =
    residentBytes === undefined || peakResidentBytes === undefined
      ? 'memory unknown on this system'
      : `executor ${mebibytes(residentBytes)} resident, ${mebibytes(peakResidentBytes)} at its peak`;
  return `  ${threads} thread${threads === 1 ? '' : 's'}: loaded again in ${loadAgainMs.toFixed(0)} ms, ${memory}`;
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => `  ${row.map((text, column) => text.padStart(widths[column] ?? 0)).join('  ')}`);
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}

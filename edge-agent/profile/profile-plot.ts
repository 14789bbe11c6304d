// A profile as two plots over the batch size, one line per thread count: rows per second with as many runs at once as would be
// served, and the latency of a run alone.
import type { CellMeasure, ConfigurationMeasure, GraphMeasure, ProfileReport } from './profile-report.js';
import { plotSvg, type PlotLine } from './svg-plot.js';

export function profileSvg(report: ProfileReport): string {
  const served = (configuration: ConfigurationMeasure) => (cell: CellMeasure) =>
    cell.streams === configuration.concurrency;
  const alone = () => (cell: CellMeasure) => cell.streams === 1;
  const [graph] = report.graphs;
  return plotSvg(`${graph?.label ?? 'profile'} on ${report.device}`, [
    {
      title: 'Throughput, as served',
      xLabel: 'rows of a run',
      yLabel: 'rows per second',
      lines: linesOf(report.graphs, served, ({ rowsPerSecond }) => rowsPerSecond),
    },
    {
      title: 'Latency of a run alone, p50 (p99 in the table)',
      xLabel: 'rows of a run',
      yLabel: 'milliseconds',
      lines: linesOf(report.graphs, alone, ({ p50Ms }) => p50Ms),
    },
  ]);
}

function linesOf(
  graphs: readonly GraphMeasure[],
  which: (configuration: ConfigurationMeasure) => (cell: CellMeasure) => boolean,
  y: (cell: CellMeasure) => number,
): PlotLine[] {
  return graphs.flatMap(({ label, graph, configurations }) =>
    configurations.map((configuration) => {
      const { provider, threads, cells } = configuration;
      return {
        name: `${label} ${graph}, ${provider}, ${threads} thread${threads === 1 ? '' : 's'}`,
        points: cells.filter(which(configuration)).map((cell) => ({ x: cell.batch, y: y(cell) })),
      };
    }),
  );
}

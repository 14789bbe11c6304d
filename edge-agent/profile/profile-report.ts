// What a profile found: per graph and configuration (provider, threads), one row per batch size and number of runs at once.
// Times are as the agent sees them, the way to the executor included; `engineP50Ms` is without it.
import type { Provider } from '@tidegate/shared/runtime/engine.js';
import type { MachineLoad } from './machine-load.js';

export interface CellMeasure {
  /** Rows of one run. */
  readonly batch: number;
  /** Runs at once. */
  readonly streams: number;
  readonly runs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly engineP50Ms: number;
  /** p50 and p99 divided by the rows. */
  readonly rowP50Ms: number;
  readonly rowP99Ms: number;
  readonly rowsPerSecond: number;
}

export interface ConfigurationMeasure {
  readonly provider: Provider;
  readonly threads: number;
  /** Runs at once as the agent would serve it. */
  readonly concurrency: number;
  readonly engine: string;
  /** Load of a graph whose file was read before. */
  readonly loadAgainMs: number;
  /** Of the executor's process after its runs; undefined where the system does not tell. */
  readonly residentBytes: number | undefined;
  readonly peakResidentBytes: number | undefined;
  readonly cells: readonly CellMeasure[];
}

export interface GraphMeasure {
  /** As it is told apart from others: `digits`, `digits int8`. */
  readonly label: string;
  /** The .onnx file in its package. */
  readonly graph: string;
  /** Where the rows come from: a golden of the package, or made up by the graph's signature. */
  readonly rows: 'golden' | 'made up';
  /** First load of this run: the file may have come from disk. */
  readonly loadFirstMs: number;
  readonly configurations: readonly ConfigurationMeasure[];
  /** What was asked for and could not be measured, with the reason. */
  readonly skipped: readonly string[];
}

export interface ProfileReport {
  readonly device: string;
  readonly load: MachineLoad;
  readonly warnings: readonly string[];
  readonly tookMs: number;
  readonly graphs: readonly GraphMeasure[];
  readonly advice: readonly string[];
}

// What serving sees of the runtime: a loaded graph that runs somewhere else. The implementation (executor-pool.ts) keeps
// executors alive, measures, detects death and hanging, and replaces; callers see typed errors only.
import type { EngineCapabilities, Provider, ProviderReport } from './engine.js';
import type { NamedTensor, TensorSpec } from '../tensor/tensor.js';

export interface GraphRunner {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly provider: ProviderReport;
  readonly engine: { readonly name: string; readonly version: string; readonly capabilities: EngineCapabilities };
  readonly loadMs: number;
  /** Runs that may be in flight at once without queueing behind each other. */
  readonly concurrency: number;
  /**
   * Runs once in an executor. Rejects with RuntimeError. `executor-died` and `executor-hung` are not retried here: the
   * scheduler retries once within the request's deadline. After either, the runner replaces its executor by itself.
   */
  run(feeds: readonly NamedTensor[], outputs: readonly string[], signal: AbortSignal): Promise<GraphRunResult>;
  /** The executor's process id, for status and fault tests. */
  readonly pid: number | undefined;
  /** Ends after runs in flight; then the executor exits. */
  close(): Promise<void>;
}

export interface GraphRunResult {
  readonly outputs: NamedTensor[];
  /** Time inside the engine. */
  readonly computeUs: number;
}

export interface LoadGraphOptions {
  /** For logs, metrics and the process title: `ocr-line@sha256:ab12`. */
  readonly label: string;
  readonly path: string;
  readonly providers: readonly Provider[];
  readonly intraOpThreads: number;
}

export interface Runtime {
  /** Starts an executor for the graph. Rejects with RuntimeError `load-failed`, the engine's message in it. */
  load(options: LoadGraphOptions, signal: AbortSignal): Promise<GraphRunner>;
  close(): Promise<void>;
}

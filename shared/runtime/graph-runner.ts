// What serving sees of the runtime: a loaded graph that runs somewhere else. The implementation (executor-runtime.ts) keeps
// executors alive, measures, detects death and hanging, and replaces; callers see typed errors only.
import type { EngineCapabilities, Provider, ProviderReport } from './engine.js';
import type { NamedTensor, TensorSpec } from '../tensor/tensor.js';

export interface GraphRunner {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly provider: ProviderReport;
  readonly engine: { readonly name: string; readonly version: string; readonly capabilities: EngineCapabilities };
  readonly loadMs: number;
  /**
   * Runs that compute at once. One or two more may be sent: they wait inside the executor, parsed and ready, and begin as soon
   * as a slot frees, without a trip to this process.
   */
  readonly concurrency: number;
  /** Expected engine time of such a run in microseconds, by the size of its inputs; undefined before anything was measured. */
  measuredUs(feeds: readonly NamedTensor[]): number | undefined;
  /**
   * Runs once in an executor. Rejects with RuntimeError. `executor-died` and `executor-hung` are not retried here: the
   * scheduler retries once within the request's deadline. After either, the runner replaces its executor by itself.
   */
  run(feeds: readonly NamedTensor[], outputs: readonly string[], signal: AbortSignal): Promise<GraphRunResult>;
  /** The executor's process id, for status and fault tests. */
  readonly pid: number | undefined;
  /** Executors of this graph that died or were ended for hanging since it was loaded; absent where none can. */
  readonly deaths?: number;
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
  /** Runs that compute at once; by default as many as the cores carry. An engine without concurrent runs has one. */
  readonly concurrency?: number;
}

export interface Runtime {
  /** Starts an executor for the graph. Rejects with RuntimeError `load-failed`, the engine's message in it. */
  load(options: LoadGraphOptions, signal: AbortSignal): Promise<GraphRunner>;
  close(): Promise<void>;
}

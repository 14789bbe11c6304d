// What serving sees of the runtime: a loaded graph that runs somewhere else. The implementation (executor-runtime.ts) keeps
// executors alive, measures, detects death and hanging, and replaces; callers see typed errors only.
import type { CrashRecord } from './crash-record.js';
import type { CarriedState, EngineCapabilities, Provider, ProviderReport } from './engine.js';
import type { NamedTensor, TensorSpec } from '../tensor/tensor.js';

/** Where a run stands in its sequence. What it carries stays in the executor, and each start of a sequence has its own. */
export interface SequenceRun {
  /** Never used again for another start. */
  readonly key: number;
  /** Runs of it that have succeeded before; 0 begins with the initial state. */
  readonly step: number;
}

/** The executor that holds a graph now. */
export interface GraphPlace {
  readonly pid: number;
  /** Graphs in it, this one too. */
  readonly graphs: number;
  /** What of its memory is this graph's: by what loading each one added. */
  readonly memoryShare: number;
  /** Why it is there, alone or with others. */
  readonly reason: string;
}

export interface GraphRunner {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly provider: ProviderReport;
  readonly engine: { readonly name: string; readonly version: string; readonly capabilities: EngineCapabilities };
  /** From starting a process to a graph that can run. */
  readonly loadMs: number;
  /** Of it, making the session inside the executor; absent where there is none. */
  readonly sessionMs?: number;
  /** Whether a compiled graph was loaded; absent where no cache was given. */
  readonly compiled?: CompiledReport | undefined;
  /**
   * Runs that compute at once. One or two more may be sent: they wait inside the executor, parsed and ready, and begin as soon
   * as a slot frees, without a trip to this process.
   */
  readonly concurrency: number;
  /** Cores that one run computes on. */
  readonly threads: number;
  /** Expected engine time of such a run in microseconds, by the size of its inputs; undefined before anything was measured. */
  measuredUs(feeds: readonly NamedTensor[]): number | undefined;
  /**
   * Runs once in an executor. Rejects with RuntimeError; at once with `quarantined` after too many deaths. `executor-died` and
   * `executor-hung` are not retried here: the scheduler retries once within the request's deadline. After either, the runner
   * replaces its executor by itself.
   * With `sequence`, feeds and outputs are those that aren't carried; `state-lost` where the executor doesn't hold the state
   * that such a run follows: it is never made up. One run of a sequence at a time.
   */
  run(
    feeds: readonly NamedTensor[],
    outputs: readonly string[],
    signal: AbortSignal,
    sequence?: SequenceRun,
  ): Promise<GraphRunResult>;
  /** Drops a sequence's state. Absent where nothing is carried. */
  forget?(key: number): void;
  /** The executor's process id, for status and fault tests. */
  readonly pid: number | undefined;
  /** Where it is; undefined while it is nowhere. */
  readonly place?: GraphPlace | undefined;
  /** Ends the executor after its runs in flight, and keeps what is known of the graph. A run that comes nevertheless wakes it. */
  park(): Promise<void>;
  /** Resolves when there is an executor; rejects with RuntimeError, `quarantined` when it can't be loaded again and again. */
  wake(signal: AbortSignal): Promise<void>;
  /** Ends after runs in flight; then the executor exits. */
  close(): Promise<void>;
}

export interface GraphRunResult {
  readonly outputs: NamedTensor[];
  /** Time inside the engine. */
  readonly computeUs: number;
}

/** Where graphs are kept as the engine has made them for this machine (executor/compiled-cache.ts). */
export interface CompiledCache {
  readonly folder: string;
  /** On disk, over all graphs; those that were not used for longest go first. */
  readonly limitBytes: number;
  /** Names the graph's bytes: the same for no other graph. */
  readonly content: string;
  /** An executor died over what is kept of this graph: it is removed, and the plain graph loaded. */
  readonly discard?: boolean;
  /** Use what is there, compile nothing: requests are waiting. */
  readonly useOnly?: boolean;
  /** Rather reject with `not-compiled` than compile: others are in this executor, who would keep what compiling takes. */
  readonly compileApart?: boolean;
}

/** `used`: a compiled graph was loaded; `built`: it was made before; `none`: the plain graph was loaded, for this reason. */
export type CompiledReport = { readonly kind: 'used' | 'built' } | { readonly kind: 'none'; readonly reason: string };

/** ONNX Runtime doesn't say how far it is; but what it is at. */
export type LoadPhase = 'loading' | 'compiling';

export interface LoadGraphOptions {
  /** For logs, metrics and the process title: `ocr-line@sha256:ab12`. */
  readonly label: string;
  readonly path: string;
  readonly providers: readonly Provider[];
  readonly intraOpThreads: number;
  /** Runs that compute at once; by default as many as the cores carry. An engine without concurrent runs has one. */
  readonly concurrency?: number;
  /** No more than so many, whatever the cores carry. */
  readonly concurrencyMax?: number | undefined;
  /** Where deaths of its executors are noted; graphs of one model share it. By default each has its own. */
  readonly crashes?: CrashRecord;
  /** Hears what goes on while it is loaded; `loading` once more after `compiling`. */
  readonly onPhase?: ((phase: LoadPhase) => void) | undefined;
  /** Asked before the graph is loaded again; what it rejects with counts as a failed load. */
  readonly verify?: () => Promise<void>;
  /** Asked when it was loaded again, on what it runs now; where it throws, the executor is ended, and that counts as a failed load. */
  readonly accept?: (provider: ProviderReport) => void;
  /** It takes as long as its data make it: no run of it is held to what others took (hang-policy.ts). */
  readonly timeVaries?: boolean;
  /** Names the graph's bytes, as a digest does, for what is kept of it: compiled, and as how trusty it has proven; without it nothing is. */
  readonly content?: string;
  /** Of its file and its external weights: only small graphs share executors with other models'. */
  readonly sizeBytes?: number;
  /** What sequences carry; absent = a graph without state. */
  readonly state?: CarriedState;
}

export interface Runtime {
  /** Starts an executor for the graph. Rejects with RuntimeError `load-failed`, the engine's message in it. */
  load(options: LoadGraphOptions, signal: AbortSignal): Promise<GraphRunner>;
  close(): Promise<void>;
}

// The engine interface: what loads and runs ONNX graphs inside an executor process, or a training job's. Two implementations stand behind it,
// `capi/` (ONNX Runtime's C API through koffi, the default) and `binding/` (plain onnxruntime-node); one contract suite
// (test/conformance/engine.test.ts) holds both. Nothing outside shared/runtime/executor imports an implementation.
import type { NamedTensor, TensorSpec } from '../tensor/tensor.js';

export interface EngineCapabilities {
  /** Several runs at once on one session. */
  readonly concurrentRuns: boolean;
  /** A run in flight can be ended. */
  readonly cancellable: boolean;
  /** Tensors can stay in the engine's own memory between runs. */
  readonly persistentTensors: boolean;
}

export const PROVIDERS = ['cpu', 'webgpu', 'cuda'] as const;
export type Provider = (typeof PROVIDERS)[number];

/** The provider ladder's account: asked for, tried, what runs and why (field lesson B18). */
export interface ProviderReport {
  readonly asked: readonly Provider[];
  readonly tried: readonly { readonly provider: Provider; readonly error: string }[];
  readonly runs: Provider;
  readonly reason: string;
  /** Nodes that the CPU was given although another provider runs; absent where the CPU runs all, or the engine can't tell. */
  readonly cpuNodes?: number;
}

export interface LoadOptions {
  /** An .onnx file; external data is found beside it. */
  readonly path: string;
  /** In order of preference; `cpu` is always the last rung. */
  readonly providers: readonly Provider[];
  readonly intraOpThreads: number;
  /**
   * Writes the graph as the engine made it into this folder, which is there and empty: fused, the weights apart and in the layout
   * of its kernels. It is right for this release on this kind of machine only. The provider is the CPU's.
   */
  readonly saveTo?: string;
  /** `path` is what `saveTo` wrote: it is taken as it is, its weights mapped and not copied. */
  readonly compiled?: boolean;
}

/** The graph's file in a folder that was saved to; its weights lie beside it. */
export const COMPILED_GRAPH = 'model.onnx';
/** Beside it: JSON that names what it was made from (`content`), and each file with size and SHA-256. */
export const COMPILED_MANIFEST = 'manifest.json';
export const COMPILED_WEIGHTS = 'weights.bin';
/** What the engines tell ONNX Runtime when they save. */
export const SAVE_CONFIG = {
  'session.optimized_model_external_initializers_file_name': COMPILED_WEIGHTS,
  'session.optimized_model_external_initializers_min_size_in_bytes': '1024',
  'session.save_external_prepacked_constant_initializers': '1',
} as const;

/** Tensors that stay with the engine from one run to the next, and what they are at first. */
export interface CarriedState {
  /** By the names of their inputs. */
  readonly initial: readonly NamedTensor[];
  /** Output -> the input that it replaces in the next run; its inputs are exactly those of `initial`. */
  readonly carried: ReadonlyMap<string, string>;
}

/** Copies an output's bytes, which are valid only during the call, to where they shall lie, and answers them there. */
export type CopyOutput = (bytes: Uint8Array) => Uint8Array;

export interface EngineSession {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly provider: ProviderReport;
  /**
   * Runs the graph once. `outputs` names what is wanted (all when empty). Feeds must not change until it settles. Outputs lie in
   * memory of their own, or where `copy` puts them (BYTES excepted).
   * Rejects with RuntimeError: `invalid-input`, `run-failed`, `cancelled` (signal, where cancellable).
   */
  run(
    feeds: readonly NamedTensor[],
    outputs: readonly string[],
    signal: AbortSignal,
    copy?: CopyOutput,
  ): Promise<NamedTensor[]>;
  /**
   * Opens values that stay in the engine between runs: weights that are trained, a cache that grows. Only where the engine has
   * `persistentTensors`; absent otherwise. Throws RuntimeError `invalid-input`. The session must outlive it.
   */
  openState?(initial: CarriedState['initial'], carried: CarriedState['carried']): EngineState;
  close(): Promise<void>;
}

/** One run at a time. No carried value crosses to JavaScript but by `read`. */
export interface EngineState {
  /**
   * Runs the graph with the carried values and `feeds` for the other inputs; answers `outputs`, none of which is carried. The
   * carried values are replaced when the run has succeeded, all or none. Outputs lie, and it rejects, as with EngineSession.run.
   */
  run: EngineSession['run'];
  /** Copies of carried values, by the names of their inputs; all where none is named. */
  read(names?: readonly string[]): NamedTensor[];
  close(): Promise<void>;
}

export interface Engine {
  readonly name: 'ort-capi' | 'ort-binding';
  readonly version: string;
  readonly capabilities: EngineCapabilities;
  /** Rejects with RuntimeError `load-failed`. */
  load(options: LoadOptions, signal: AbortSignal): Promise<EngineSession>;
  close(): Promise<void>;
}

// The serving port: what every protocol front (HTTP, gRPC, streams) calls, and what the agent's router and the
// hub's inference implement. Requests are parsed and typed here; no protocol detail passes this line.
import type { CarriedState } from '../runtime/engine.js';
import type { RanOn } from './provider-in-use.js';
import type { NamedTensor, TensorSpec } from '../tensor/tensor.js';
import type { RequestTrace } from '../tracing/span.js';
import type { ModelStatistics } from './inference-statistics.js';
import type { ServingError } from './serving-error.js';

/** Where a request may run (contract.md). */
export type PlacementRequest = 'auto' | 'local' | 'hub' | 'split';
/** Where it was answered. */
export type Placement = 'cache' | 'edge' | 'hub' | 'split';
export type CacheMode = 'use' | 'bypass' | 'refresh';

/** Triton's sequence extension: requests that belong together, in order, and carry state from one to the next. */
export interface SequenceAsked {
  /** As JSON writes it: `7` and `"7"` are two. */
  readonly id: string;
  readonly start: boolean;
  readonly end: boolean;
  /** Whose ids these are, where they are not everybody's: a connection of `/v2/stream`. */
  readonly scope?: string;
}

export interface InferRequest {
  readonly model: string;
  /** As in the path: a number; undefined = the active version. */
  readonly version: string | undefined;
  readonly id: string | undefined;
  readonly inputs: readonly NamedTensor[];
  /** Names of wanted outputs; empty = the default ones. */
  readonly outputs: readonly string[];
  /** Monotonic time by which the answer must be there (the shell adds `--default-timeout` where none was given). */
  readonly deadlineMs: number;
  /** 1 highest; 0 = unstated. */
  readonly priority: number;
  /** Whose share of the machine it takes: who is known by token or certificate, else the tenant that it names. Absent = nobody said. */
  readonly caller?: string;
  /** On whose behalf a caller that is known asks: whose part of the caller's share it takes. Absent = it names nobody. */
  readonly tenant?: string;
  readonly placement: PlacementRequest;
  readonly cache: CacheMode;
  readonly maxStalenessMs: number | undefined;
  /** By which a cached answer can be dropped; part of the cache key. Absent = none. */
  readonly cacheTags?: readonly string[];
  /** Absent = of no sequence. A model without state answers as if it were absent. */
  readonly sequence?: SequenceAsked;
  /** Where its work belongs in a trace, and is told to; absent = in none. */
  readonly trace?: RequestTrace;
  /** Request parameters that no one here reads; part of the cache key. */
  readonly parameters: Readonly<Record<string, string | number | boolean>>;
}

/** What is known of a request before its body is read: it has no inputs and outputs yet. */
export interface RequestHead extends InferRequest {
  /** Of all inputs together, where that follows from the length of the body; undefined = it doesn't. */
  readonly inputBytes: number | undefined;
}

export interface InferAnswer {
  readonly model: string;
  readonly version: string;
  readonly outputs: readonly NamedTensor[];
  readonly provenance: Provenance;
  /**
   * Nobody else holds the bytes of these outputs, or of the request's inputs: once the answer is sent, their memory may be used again
   * (reused-buffers.ts). Said only by who knows it: not where answers are kept, were asked of others too, or become samples.
   */
  readonly unshared?: boolean;
}

/** Design decision 2: every answer says where it came from. */
export interface Provenance {
  readonly placement: Placement;
  /** A short sentence for people: `answered on the device`, `confidence 0.41 under 0.60`. */
  readonly reason: string;
  readonly modelDigest: string;
  readonly variant: string;
  readonly variantDigest: string;
  readonly queueUs: number;
  readonly computeUs: number;
  /** Absent where nothing ran for it, and where a server doesn't say it. */
  readonly ranOn?: RanOn | undefined;
  readonly cacheLayer?: 'memory' | 'disk' | 'hub' | 'semantic';
  /** Since the cached answer was computed. */
  readonly cacheAgeMs?: number;
  /** The cached answer is older than the model's TTL; it is renewed when the device has time. */
  readonly cacheStale?: true;
  readonly confidence?: number;
}

export interface ModelMetadata {
  readonly name: string;
  readonly versions: readonly string[];
  readonly platform: string;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /**
   * Values between the nodes of a pipeline, where a request may enter (skipping the steps before) or leave. Not part of
   * the protocol's metadata; fronts check requests against them. Undefined = the model has none; `unread` = the service
   * doesn't know them before the model is loaded, and then checks the request itself.
   */
  readonly inner?: readonly TensorSpec[] | 'unread';
}

/** A row of the repository index. */
export interface ModelState {
  readonly name: string;
  readonly version: string;
  readonly ready: boolean;
  /** Why not, where it isn't ready. */
  readonly reason?: string;
}

/** What a version is made of, for the extensions that tell it: configuration, statistics, classification. */
export interface ModelDetails {
  readonly metadata: ModelMetadata;
  /** The version that was meant where none was named. */
  readonly version: string;
  /** Rows of several requests that one run may take; 1 = requests never share a run. */
  readonly batchRowsMax: number;
  /** Are answers kept and given again? */
  readonly cached: boolean;
  /** Empty while the version is not loaded. */
  readonly instances: readonly { readonly graph: string; readonly count: number; readonly kind: 'cpu' | 'gpu' }[];
  /** Class names of an output's last dimension, for outputs that have them. */
  readonly labels: ReadonlyMap<string, readonly string[]>;
  /** Of a model with state: what its sequences carry, and for how long they may be idle. Absent = it has none. */
  readonly sequences?: { readonly idleTimeoutMs: number; readonly state: readonly CarriedState[] };
}

export interface InferenceService {
  ready(): boolean;
  /** Throws ServingError `not-found`. */
  metadata(model: string, version: string | undefined): ModelMetadata;
  /** Of a model that this server hasn't, and whoever it asks may have. Rejects with ServingError; absent = nobody is asked. */
  metadataElsewhere?(model: string, version: string | undefined, signal: AbortSignal): Promise<ModelMetadata>;
  modelReady(model: string, version: string | undefined): boolean;
  /** Every model that could be asked for; a service without it offers no repository index. */
  models?(): readonly ModelState[];
  /** Throws ServingError `not-found`. A service without it offers neither configuration nor statistics. */
  details?(model: string, version: string | undefined): ModelDetails;
  /** Of every model that could be asked for, since the start. */
  statistics?(): readonly ModelStatistics[];
  /** Reads the model's files again, or puts it back into service. Rejects with `forbidden` where somebody else decides. */
  load?(model: string, signal: AbortSignal): Promise<void>;
  /** Takes the model out of service; its accepted requests end. Rejects as `load` does. */
  unload?(model: string): Promise<void>;
  /** The connection with this scope is gone: its sequences end. Absent where no state is kept. */
  endSequences?(scope: string): void;
  /**
   * Asked when the head of a request has come and its body has not: the refusal that it would get with whatever it carries,
   * undefined where that is not sure. The request has ended with it. `deadlineMs` is the head's; `head` is called only where
   * it may come to that.
   */
  refuseUnread?(
    model: string,
    version: string | undefined,
    deadlineMs: number,
    head: () => RequestHead,
  ): ServingError | undefined;
  /** Throws ServingError. Settles before the request's deadline, or soon after the signal aborts. */
  infer(request: InferRequest, signal: AbortSignal): Promise<InferAnswer>;
}

// A model that answers: the package, its pipeline, and one executor with one scheduler per graph. Agent and hub serve
// through this same class (the hub with `heavy`). Steps run in this process, graphs in executors.
//
// Invariants: a request settles by its deadline; `close` waits for the requests that were accepted; a request never sees
// two versions, since a ServedModel is one.
import { availableParallelism } from 'node:os';
import type { ModelPackage } from '../package/model-package.js';
import type { OpenPackageDeps } from '../package/open-package.js';
import type { GoldensResult } from '../package/run-goldens.js';
import type { CrashRecord, Quarantine } from '../runtime/crash-record.js';
import type { Provider, ProviderReport } from '../runtime/engine.js';
import type { Runtime } from '../runtime/graph-runner.js';
import type { RestartLimits } from '../runtime/restart-policy.js';
import type { Cores } from '../scheduling/cores.js';
import type { SchedulerCounts } from '../scheduling/scheduler.js';
import type { Clock } from '../system/clock.js';
import type { Log } from '../system/log.js';
import type { NamedTensor } from '../tensor/tensor.js';
import type { Digest } from '../wire/digest.js';
import type { ModelYaml } from '../wire/model-yaml.js';
import type { EndedSequences } from './ended-sequences.js';
import { evaluateRequest, inTime, type GraphSlot, type PipelineRequest } from './evaluate-request.js';
import { graphReport, type GraphReport } from './graph-report.js';
import type { ModelDetails, ModelMetadata, RequestHead, SequenceAsked } from './inference-service.js';
import { modelDetails } from './model-details.js';
import { ModelLimits } from './model-limits.js';
import type { Pipeline } from './pipeline.js';
import type { PipelineCut } from './pipeline-cuts.js';
import { provePaddings, type UnprovenPadding } from './prove-padding.js';
import { providerInUse, ranOn, type ProviderInUse, type RanOn } from './provider-in-use.js';
import { SelfTests } from './self-tests.js';
import type { SequenceCounts, Sequences, SequenceTurn } from './sequences.js';
import { ServingError } from './serving-error.js';
import { summedCounts } from './summed-counts.js';

export interface ServedModelIdentity {
  readonly name: string;
  readonly version: string;
  readonly versionDigest: Digest;
  readonly variant: string;
  readonly variantDigest: Digest;
}

export interface ServedModelOptions {
  readonly providers: readonly Provider[];
  readonly intraOpThreads: number;
  /** Requests that may wait for a graph. */
  readonly queueDepthMax: number;
  /** Answer with the package's `heavy` variations where it has them: the hub. */
  readonly heavy: boolean;
  /** Keep its graphs as the engine makes them, where the runtime has a cache for that: a model that is loaded again and again. */
  readonly keepCompiled?: boolean;
  /** Loading fails, the first time and later, where what the package requires of the provider isn't met. */
  readonly required?: boolean;
  /** With `required`: packages that say nothing require a GPU too. */
  readonly requireGpu?: boolean;
  /** When its executors' deaths are a crash loop; by default what a device wants. */
  readonly restartLimits?: RestartLimits;
  /** Hold callers to the rates of the package's `limits`: where callers ask, and not where the model is only tried. */
  readonly limited?: boolean;
}

/** Hears of each run of a model's first graph that ended well, self-tests excepted. */
export type RunObserver = (model: string, version: string, rows: number, computeUs: number) => void;

/** Hears what loading a model is at, and 0..1 by the graphs that are loaded. */
export type LoadObserver = (share: number, doing: string) => void;

export interface ServedModelModules {
  readonly runtime: Runtime;
  readonly inspect: OpenPackageDeps['inspect'];
  readonly clock: Clock;
  readonly onRun?: RunObserver | undefined;
  readonly onLoading?: LoadObserver | undefined;
  /** What all models compute on; without it, each graph as if it were alone. */
  readonly cores?: Cores | undefined;
  /** Why sequences of this model ended, also with versions before this one. */
  readonly endedSequences?: EndedSequences;
  readonly log?: Log;
}

interface ModelRequest extends PipelineRequest {
  /** Needed by a model with state, and idle for one without. */
  readonly sequence?: SequenceAsked | undefined;
  /** The second part of a request whose first was let in: it counts once for the package's limits. */
  readonly goesOn?: boolean;
}

export interface ModelAnswer {
  readonly outputs: readonly NamedTensor[];
  /** Longest wait of a part of the request for an executor. */
  readonly queueUs: number;
  /** Time inside the engine, summed over the runs that this answer comes from. */
  readonly computeUs: number;
  readonly confidence: number | undefined;
  readonly ranOn?: RanOn;
  /** As InferAnswer says. */
  readonly unshared?: boolean;
}

/** What is known of a model only once its package has been read and its graphs loaded. */
interface LoadedParts {
  readonly pack: ModelPackage;
  readonly slots: readonly GraphSlot[];
  readonly crashes: CrashRecord;
  readonly pipeline: Pipeline;
  readonly deterministic: boolean;
  readonly labels: ModelDetails['labels'];
  /** Undefined where no graph carries state. */
  readonly sequences: Sequences | undefined;
}

export class ServedModel {
  readonly identity: ServedModelIdentity;
  /** False where a graph draws random numbers or carries state: its answers are never cached. */
  readonly deterministic: boolean;
  readonly metadata: ModelMetadata;
  readonly details: ModelDetails;
  /** Resolves when the model has been closed and its executors have gone. */
  readonly closed: Promise<void>;
  readonly #pack: ModelPackage;
  readonly #options: ServedModelOptions;
  readonly #slots: readonly GraphSlot[];
  readonly #crashes: CrashRecord;
  readonly #pipeline: Pipeline;
  /** One graph, without steps and state. */
  readonly #graphAlone: boolean;
  readonly #sequences: Sequences | undefined;
  readonly #clock: Clock;
  readonly #limits: ModelLimits;
  readonly #selfTests: SelfTests;
  /** What answers say, and the account of each graph that it was made from. */
  #ranOn: { readonly from: readonly ProviderReport[]; readonly says: RanOn } | undefined;
  #closing = false;
  #onIdle: (() => void) | undefined;
  #onClosed: () => void = () => undefined;

  /** By serveModel (open-served-model.ts). */
  constructor(identity: ServedModelIdentity, options: ServedModelOptions, parts: LoadedParts, clock: Clock) {
    const { pack, slots, crashes, pipeline, deterministic, sequences } = parts;
    this.#pack = pack;
    this.identity = identity;
    this.#options = options;
    this.#slots = slots;
    this.#crashes = crashes;
    this.#pipeline = pipeline;
    this.deterministic = deterministic;
    this.#sequences = sequences;
    const [first, ...more] = pack.yaml.pipeline;
    this.#graphAlone = sequences === undefined && more.length === 0 && first !== undefined && 'graph' in first;
    this.#clock = clock;
    const rates = options.limited === true ? pack.yaml.limits : {};
    const inFlightMax = options.queueDepthMax + 2 * availableParallelism();
    this.#limits = new ModelLimits({ model: identity.name, rates, inFlightMax }, clock);
    this.#selfTests = new SelfTests(pack, this, clock);
    this.closed = new Promise((resolve) => (this.#onClosed = resolve));
    this.details = modelDetails(identity, parts);
    this.metadata = this.details.metadata;
  }

  /** Its sequences keep state here, from their start to their end. */
  get stateful(): boolean {
    return this.#sequences !== undefined;
  }

  /** Which sides its branches took, as Pipeline.sides. */
  get sides(): Pipeline['sides'] {
    return this.#pipeline.sides;
  }

  /** Where its pipeline can be cut in two, so that the rest runs elsewhere; empty where its package doesn't allow it. */
  get cuts(): readonly PipelineCut[] {
    return this.#pipeline.cuts;
  }

  /** Undefined where it has no state. */
  get sequenceCounts(): SequenceCounts | undefined {
    return this.#sequences?.counts;
  }

  /** Is this sequence one that began here and has not ended? */
  holds(sequence: SequenceAsked): boolean {
    return this.#sequences?.has(sequence) ?? false;
  }

  /** Ends the sequences of a connection that is gone. */
  endSequences(scope: string): void {
    this.#sequences?.endScope(scope);
  }

  /** True while it is tried: by its goldens, or by whoever loaded it. */
  get testing(): boolean {
    return this.#selfTests.running;
  }

  get yaml(): ModelYaml {
    return this.#pack.yaml;
  }

  get package(): ModelPackage {
    return this.#pack;
  }

  /** What runs now: an executor that was replaced may have come up on another provider. */
  get provider(): ProviderInUse {
    return providerInUse(this.#slots.map(({ runner, nodes }) => ({ provider: runner.provider, nodes })));
  }

  /** Asked for by each answer, so made anew only after an executor was replaced. */
  get ranOn(): RanOn {
    const known = this.#ranOn;
    if (known !== undefined && this.#slots.every(({ runner }, i) => runner.provider === known.from[i]))
      return known.says;
    const says = ranOn(this.provider);
    this.#ranOn = { from: this.#slots.map(({ runner }) => runner.provider), says };
    return says;
  }

  get graphs(): readonly GraphReport[] {
    return this.#slots.map(graphReport);
  }

  /** Of one run of its graph, or of the one that has most. */
  get threads(): number {
    return Math.max(...this.#slots.map(({ runner }) => runner.threads), 1);
  }

  /** Would parking it lose what sequences carry? */
  get holdsState(): boolean {
    return (this.#sequences?.counts.live ?? 0) > 0;
  }

  /** As Sequences.endMs. */
  get stateEndsMs(): number | undefined {
    return this.#sequences?.endMs;
  }

  /** Of its executors, as many as are there: graphs may share one. */
  get pids(): readonly number[] {
    return [...new Set(this.#slots.flatMap(({ runner: { pid } }) => pid ?? []))];
  }

  /** Of one of its executors' memory, what its graphs take. */
  memoryShareOf(pid: number): number {
    const here = this.#slots.filter(({ runner }) => runner.pid === pid);
    return here.reduce((sum, { runner: { place } }) => sum + (place?.memoryShare ?? 1), 0);
  }

  /** What loading it took the last time, all graphs together. */
  get loadMs(): number {
    return this.#slots.reduce((sum, { runner }) => sum + runner.loadMs, 0);
  }

  /** Times that an executor died, or was replaced for hanging, since it was loaded. */
  get executorDeaths(): number {
    return this.#crashes.deaths;
  }

  /** Why it answers nothing, since its executors died too often; undefined while it does. */
  get quarantine(): Quarantine | undefined {
    return this.#crashes.quarantine;
  }

  /** Ends the quarantine: the next request starts an executor. False where there was none. */
  release(): boolean {
    return this.#crashes.release();
  }

  /** Summed over the graphs. */
  get counts(): SchedulerCounts {
    return summedCounts(this.#slots.map(({ scheduler }) => scheduler.counts));
  }

  /**
   * Answers once. Rejects with ServingError: `invalid-argument` naming the input, `too-large`, `would-miss-deadline`,
   * `queue-full`, `rate-limited`, `deadline-exceeded`, `cancelled`, `failed`, `sequence-lost`, `not-ready` when the model is being closed
   * or in quarantine.
   */
  async infer(request: ModelRequest, signal: AbortSignal): Promise<ModelAnswer> {
    if (this.#closing && (request.sequence === undefined || request.sequence.start || !this.holds(request.sequence)))
      throw new ServingError('not-ready', `model '${this.identity.name}' is being taken out of service`);
    const { quarantine } = this.#crashes;
    if (quarantine !== undefined) throw new ServingError('not-ready', `in quarantine: ${quarantine.reason}`);
    const { caller = '' } = request;
    this.#limits.enter(caller, request.goesOn !== true && !this.testing);
    try {
      return await (this.#graphAlone
        ? this.#ofGraph(request, signal)
        : inTime(request.deadlineMs, this.#clock, signal, (inner) => this.#run(request, inner)));
    } finally {
      this.#limits.leave(caller);
      if (this.#limits.count === 0) this.#onIdle?.();
    }
  }

  /** Could `refusal` find anything against a request with this deadline (monotonic)? Costs next to nothing to ask. */
  crowded(deadlineMs: number): boolean {
    return this.#limits.rated || this.#slots.some(({ scheduler }) => scheduler.crowded(deadlineMs));
  }

  /**
   * The refusal that a request would get with whatever it carries; undefined where nothing speaks against it yet. Only of a model
   * that is one graph are deadlines judged: the time of what comes before a graph is not known to its scheduler.
   */
  refusal(
    request: Pick<RequestHead, 'caller' | 'tenant' | 'deadlineMs' | 'priority' | 'inputBytes'>,
  ): ServingError | undefined {
    if (this.testing) return undefined;
    const { caller = '', tenant, deadlineMs, priority, inputBytes: bytes } = request;
    const [slot] = this.#graphAlone ? this.#slots : [];
    return this.#limits.look(caller) ?? slot?.scheduler.refusal({ caller, tenant, deadlineMs, priority, bytes });
  }

  /** The package's goldens through this model as it serves. Passed with count 0 where it has none. */
  runGoldens(signal: AbortSignal, onProgress?: (done: number, count: number) => void): Promise<GoldensResult> {
    return this.#selfTests.runGoldens(signal, onProgress);
  }

  /** As provePaddings says, of its own goldens. */
  provePadding(signal: AbortSignal): Promise<UnprovenPadding | undefined> {
    return provePaddings(this.#slots, (onFeeds) => this.#selfTests.feed(onFeeds, signal), signal);
  }

  /** Runs some of the goldens' inputs, whatever comes out: what compiles at a first run has then compiled. */
  warmUp(signal: AbortSignal, onProgress: (done: number, count: number) => void): Promise<void> {
    return this.#selfTests.warmUp(signal, onProgress);
  }

  /** Answers once, for whoever loaded it: nothing is counted. Rejects as `infer`. */
  trial(inputs: readonly NamedTensor[], signal: AbortSignal): Promise<ModelAnswer> {
    return this.#selfTests.trial(inputs, signal);
  }

  /** Frees what its executors use, once their runs have ended; what is known of the model stays. */
  async park(): Promise<void> {
    await Promise.all(this.#slots.map(({ runner }) => runner.park()));
  }

  /** Loads again what park() let go. Rejects with RuntimeError. */
  async wake(signal: AbortSignal): Promise<void> {
    for (const { runner } of this.#slots) await runner.wake(signal); // one after the other: loading takes more than what it loads
  }

  /**
   * Takes no more requests, waits for those accepted, then ends the executors. `sequencesMs`: how long its live sequences may
   * go on meanwhile; a later call may shorten it to 0.
   */
  async close(sequencesMs = 0): Promise<void> {
    if (sequencesMs <= 0) this.#sequences?.endAll('the model was taken out of service');
    if (this.#closing) return this.closed;
    this.#closing = true;
    const replaced = `its version, ${this.identity.version}, was replaced and waited ${sequencesMs} ms for it to end`;
    await this.#sequences?.drained(sequencesMs, replaced);
    if (this.#limits.count > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    for (const { scheduler } of this.#slots) scheduler.close();
    await Promise.all(this.#slots.map(({ runner }) => runner.close()));
    this.#onClosed();
    return this.closed;
  }

  /** Its only wait is the scheduler's, which keeps deadline and signal itself. */
  async #ofGraph(request: ModelRequest, signal: AbortSignal): Promise<ModelAnswer> {
    try {
      return await this.#evaluate(request, signal, undefined);
    } catch (error) {
      if (!signal.aborted || error instanceof ServingError) throw error;
      throw new ServingError('cancelled', 'the caller went away', { cause: error });
    }
  }

  async #run(request: ModelRequest, signal: AbortSignal): Promise<ModelAnswer> {
    if (this.#sequences === undefined) return this.#evaluate(request, signal, undefined);
    if (request.sequence === undefined) {
      const text = `model '${this.identity.name}' has state: each request says by sequence_id which sequence it belongs to`;
      throw new ServingError('invalid-argument', text, { field: 'parameters.sequence_id' });
    }
    return this.#sequences.run(request.sequence, signal, (turn) => this.#evaluate(request, signal, turn));
  }

  async #evaluate(request: ModelRequest, signal: AbortSignal, turn: SequenceTurn | undefined): Promise<ModelAnswer> {
    const parts = { slots: this.#slots, pipeline: this.#pipeline, heavy: this.#options.heavy };
    const { computed, alone, ...answer } = await evaluateRequest(parts, request, signal, turn);
    return computed ? { ranOn: this.ranOn, unshared: alone && this.#graphAlone, ...answer } : answer;
  }
}

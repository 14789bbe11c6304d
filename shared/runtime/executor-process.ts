// One executor seen from its parent: graphs loaded into it, many runs at once, watch, kill. Every way in which it can end (crash,
// kill, hang, garbage on the pipe) settles every run in flight with a typed error exactly once, and says which graphs it may be
// laid to: those that computed or were being loaded at that moment, or the one whose run hung. It never restarts anything:
// executor-runtime.ts does. Which graphs share an executor is decided in placement-policy.ts.
import type { CrashRecord } from './crash-record.js';
import { LoadedGraph } from './loaded-graph.js';
import type { CompiledCache, GraphRunResult, LoadGraphOptions, SequenceRun } from './graph-runner.js';
import { openPipe, type ExecutorPipe, type ExecutorPipeModules } from './executor-pipe.js';
import type { FromExecutor, LoadedMessage } from './executor-protocol.js';
import { FrameError } from './frames.js';
import { HANG_LIMITS, hangOf, WatchTime, type HangLimits, type MeasuredMs } from './hang-policy.js';
import { RuntimeError } from './runtime-error.js';
import type { ArenaLoan, TensorArena } from './tensor-arena.js';
import type { Clock } from '../system/clock.js';
import { reusedBuffers } from '../system/reused-buffers.js';
import type { NamedTensor } from '../tensor/tensor.js';

/** Runs that may be in flight to one executor, computing or waiting there. */
const IN_FLIGHT_MAX = 256;
const WATCH_INTERVAL_MS = 250;
/** What an executor may take to exit once it has nothing to do. */
const EXIT_LIMIT_MS = 2_000;

export interface ExecutorGraphOptions extends LoadGraphOptions {
  /** Also names the model: graphs that share it are of one. */
  readonly crashes: CrashRecord;
  readonly compiledCache?: CompiledCache | undefined;
  /** Runs that compute at once: in the executor, whatever graph they are of. */
  readonly slots: number;
}

interface ExecutorProcessOptions {
  /** For logs and the process title. */
  readonly label: string;
  readonly slots: number;
  readonly intraOpThreads: number;
}

export interface ExecutorProcessModules extends ExecutorPipeModules {
  readonly clock: Clock;
  readonly hangLimits?: HangLimits;
}

interface RunOrder {
  readonly feeds: readonly NamedTensor[];
  readonly outputs: readonly string[];
  readonly signal: AbortSignal;
  /** What the hang policy holds it to. */
  readonly measuredMs: MeasuredMs;
  readonly sequence: SequenceRun | undefined;
}

interface RunInFlight {
  readonly graph: LoadedGraph;
  readonly resolve: (result: GraphRunResult) => void;
  readonly reject: (error: RuntimeError) => void;
  readonly measuredMs: MeasuredMs;
  /** What the run has of the shared memory, until the executor answers. */
  loan: ArenaLoan | undefined;
  /** Watch time at which it got a slot; undefined while it waits for one. */
  startedMs: number | undefined;
}

interface Loading {
  readonly resolve: (loaded: LoadedMessage) => void;
  readonly reject: (error: RuntimeError) => void;
}

export class ExecutorProcess {
  /** As of its first graph: others share the pool and the slots. */
  readonly slots: number;
  readonly intraOpThreads: number;
  /** Settles, with the reason, when the process is gone. */
  readonly ended: Promise<RuntimeError>;
  readonly #pipe: ExecutorPipe;
  readonly #clock: Clock;
  readonly #limits: HangLimits;
  readonly #graphs = new Map<number, LoadedGraph>();
  readonly #loading = new Map<number, Loading>();
  readonly #runs = new Map<number, RunInFlight>();
  readonly #watch: WatchTime;
  /** Does the engine leave the event loop free while it runs? Known from the first graph on. */
  #answersWhileRunning = true;
  /** Undefined where tensors cross on the pipe only, and before the first graph was loaded. */
  #arena: TensorArena | undefined;
  #blamed: ReadonlySet<LoadedGraph> | undefined;
  #closing = false;
  #cancelTick: (() => void) | undefined;
  #pingSentMs: number | undefined;
  #nextId = 1;
  #nextGraph = 1;

  /** Starts an executor that holds nothing yet. Throws RuntimeError `load-failed` where that fails at once. */
  constructor(options: ExecutorProcessOptions, modules: ExecutorProcessModules) {
    const { clock, hangLimits } = modules;
    this.slots = options.slots;
    this.intraOpThreads = options.intraOpThreads;
    this.#clock = clock;
    this.#limits = hangLimits ?? HANG_LIMITS;
    this.#watch = new WatchTime(clock.monotonicMs(), 2 * WATCH_INTERVAL_MS);
    const pipe = openPipe(options, modules);
    this.#pipe = pipe;
    pipe.sharedBytes = (id, at, sizeBytes) => this.#answerBytes(id, at, sizeBytes);
    pipe.onMessage = (message) => this.#receive(message);
    this.ended = pipe.ended.then((error) => {
      this.#cancelTick?.();
      this.#settleAll(error);
      for (const graph of this.#graphs.values()) graph.end(error);
      return error;
    });
  }

  /** -1 until it has started; known once a graph is loaded. */
  get pid(): number {
    return this.#pipe.pid;
  }

  /** Killed, gone or about to go: it takes no more graphs and runs. */
  get isEnding(): boolean {
    return this.#closing || this.#pipe.endReason !== undefined;
  }

  /** Loaded, and being loaded. */
  get graphs(): readonly LoadedGraph[] {
    return [...this.#graphs.values()];
  }

  /** Ended by SIGKILL, and not by this process: memory ran out, or an operator did it. No graph's code can do that by itself. */
  get killedByOthers(): boolean {
    return this.#pipe.killedByOthers;
  }

  /** Once it has ended: the graphs that may have been why. */
  get blamed(): ReadonlySet<LoadedGraph> {
    return this.#blamed ?? new Set();
  }

  /**
   * Loads a graph into it. Rejects with RuntimeError `load-failed` (also when it dies meanwhile: the cause says so), `not-compiled`
   * or `cancelled`; where it held no other graph, the process is gone then.
   */
  async load(options: ExecutorGraphOptions, signal: AbortSignal): Promise<LoadedGraph> {
    const { label } = options;
    const id = this.#nextGraph++;
    const graph = new LoadedGraph(id, options, this);
    this.#graphs.set(id, graph);
    const startedMs = this.#clock.monotonicMs();
    const cancelled = (): RuntimeError => new RuntimeError('cancelled', `loading ${label} was cancelled`);
    let onAbort = (): void => undefined;
    try {
      const loaded = await new Promise<LoadedMessage>((resolve, reject) => {
        onAbort = () => reject(cancelled());
        if (signal.aborted) return onAbort();
        if (this.#pipe.endReason !== undefined) return reject(loadFailed(this.#pipe.endReason));
        signal.addEventListener('abort', onAbort, { once: true });
        this.#loading.set(id, { resolve, reject });
        options.onPhase?.('loading');
        this.#sendLoad(id, options);
        return undefined;
      });
      this.#answersWhileRunning = loaded.engine.capabilities.concurrentRuns;
      this.#arena = loaded.sharedMemory ? this.#pipe.arena : undefined;
      graph.accept(loaded, this.#clock.monotonicMs() - startedMs);
      return graph;
    } catch (cause) {
      const error = cause instanceof RuntimeError ? cause : loadFailed(cause);
      this.#loading.delete(id);
      if (this.#graphs.size > 1) this.#unload(graph, error);
      else this.kill(error);
      throw error;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #sendLoad(graph: number, options: ExecutorGraphOptions): void {
    const { path, providers, intraOpThreads, slots, state, compiledCache } = options;
    const { arena } = this.#pipe;
    this.#pipe.send({
      type: 'load',
      ...{ graph, path, providers, intraOpThreads, slots },
      tensors: state?.initial ?? [],
      carried: [...(state?.carried ?? [])],
      ...(arena === undefined ? {} : { sharedBytes: arena.sizeBytes }),
      ...(compiledCache === undefined ? {} : { compiledCache }),
    });
  }

  /** As LoadedGraph.run. */
  run(graph: LoadedGraph, order: RunOrder): Promise<GraphRunResult> {
    const { feeds, outputs, signal, measuredMs, sequence } = order;
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(new RuntimeError('cancelled', 'cancelled before it began'));
      if (this.#pipe.endReason !== undefined) return reject(this.#pipe.endReason);
      if (this.#runs.size >= IN_FLIGHT_MAX) {
        const text = `the executor of ${graph.label} has ${IN_FLIGHT_MAX} runs in flight already`;
        return reject(new RuntimeError('run-failed', text));
      }
      const id = this.#nextId++;
      const onAbort = (): void => {
        this.#pipe.send({ type: 'cancel', id });
        reject(new RuntimeError('cancelled', 'cancelled in mid-run')); // its slot stays taken until the executor answers
      };
      const settle = (): void => signal.removeEventListener('abort', onAbort);
      signal.addEventListener('abort', onAbort, { once: true });
      const loan = this.#arena?.lend(feeds);
      graph.runsInFlight += 1;
      this.#runs.set(id, {
        graph,
        resolve: (result) => (settle(), resolve(result)),
        reject: (error) => (settle(), reject(error)),
        measuredMs,
        loan,
        startedMs: this.#runs.size < this.slots ? this.#now() : undefined,
      });
      try {
        const answer = loan?.answer === undefined ? {} : { answer: loan.answer };
        const message = { type: 'run', id, graph: graph.id, tensors: feeds, outputs, ...answer } as const;
        const places = loan?.feeds.map((region) => region?.at);
        this.#pipe.send(sequence === undefined ? message : { ...message, sequence }, places);
      } catch (cause) {
        this.#finish(id)?.reject(
          new RuntimeError('invalid-input', cause instanceof Error ? cause.message : '', { cause }),
        );
      }
      if (this.#cancelTick === undefined) this.#scheduleTick();
      return undefined;
    });
  }

  /** Drops the state of a sequence, after the run of it that is in flight. */
  forget(graph: LoadedGraph, key: number): void {
    this.#pipe.send({ type: 'forget', graph: graph.id, key });
  }

  /** SIGKILL; runs in flight reject with `reason`. `culprit`: the graph that it is laid to; undefined = whichever computed. */
  kill(reason: RuntimeError, culprit?: LoadedGraph): void {
    this.#blame(culprit);
    this.#pipe.kill(reason);
    this.#settleAll(reason);
  }

  /** Lets go of a graph without runs in flight; the process ends with its last one. */
  async close(graph: LoadedGraph): Promise<void> {
    const closed = new RuntimeError('closed', `${graph.label} was closed`);
    if (this.#graphs.size > 1 || !this.#graphs.has(graph.id)) return this.#unload(graph, closed);
    this.#closing = true;
    this.#pipe.expectEnd(closed);
    this.#pipe.send({ type: 'close' });
    const cancel = this.#clock.after(EXIT_LIMIT_MS, () => this.#pipe.kill(closed));
    await this.ended;
    cancel();
  }

  #unload(graph: LoadedGraph, reason: RuntimeError): void {
    if (this.#graphs.delete(graph.id)) this.#pipe.send({ type: 'unload', graph: graph.id });
    graph.end(reason);
  }

  #receive(message: FromExecutor): void {
    this.#pingSentMs = undefined; // any word is a sign of life
    if (message.type === 'result') {
      const outputs = message.tensors as NamedTensor[];
      this.#arena?.expect(outputs);
      const run = this.#finish(message.id);
      run?.graph.answered();
      run?.resolve({ outputs, computeUs: message.computeUs });
    } else if (message.type === 'failed') {
      const run = this.#finish(message.id);
      run?.graph.answered();
      run?.reject(new RuntimeError(message.code, message.message));
    } else if (message.type === 'loaded') {
      this.#takeLoading(message.graph)?.resolve(message);
    } else if (message.type === 'compiling') {
      this.#graphs.get(message.graph)?.options.onPhase?.('compiling');
    } else if (message.type === 'load-failed') {
      this.#takeLoading(message.graph)?.reject(new RuntimeError(message.code, message.message));
    }
  }

  #takeLoading(graph: number): Loading | undefined {
    const loading = this.#loading.get(graph);
    this.#loading.delete(graph);
    return loading;
  }

  /** Throws FrameError where the bytes are not the run's. */
  #answerBytes(id: number, at: number, sizeBytes: number): Uint8Array {
    const loan = this.#runs.get(id)?.loan;
    if (loan === undefined || this.#arena === undefined) throw new FrameError(`run ${id} has no shared memory`);
    return this.#arena.read(loan, at, sizeBytes);
  }

  /** Takes a run out of the table; the next one that waits has its slot now, and its shared memory is free. */
  #finish(id: number): RunInFlight | undefined {
    const run = this.#runs.get(id);
    this.#runs.delete(id);
    if (run?.loan !== undefined) this.#arena?.release(run.loan);
    let slots = this.slots;
    for (const other of this.#runs.values()) {
      if (slots-- === 0) break;
      other.startedMs ??= this.#now();
    }
    run?.graph.finished();
    return run;
  }

  /** Once, at the moment of its end, while it is known what computed. */
  #blame(culprit: LoadedGraph | undefined): void {
    if (this.#blamed !== undefined) return;
    const graphs = this.graphs;
    const ofOneModel = new Set(graphs.map(({ options }) => options.crashes)).size === 1;
    if (culprit !== undefined || ofOneModel) {
      this.#blamed = new Set(culprit === undefined ? graphs : [culprit]);
      return;
    }
    const computing = [...this.#runs.values()].flatMap(({ graph, startedMs }) =>
      startedMs === undefined ? [] : graph,
    );
    this.#blamed = new Set([...computing, ...graphs.filter(({ id }) => this.#loading.has(id))]);
  }

  #settleAll(error: RuntimeError): void {
    this.#blame(undefined);
    for (const { reject } of this.#loading.values()) reject(error.code === 'cancelled' ? error : loadFailed(error));
    this.#loading.clear();
    for (const run of this.#runs.values()) run.reject(error);
    this.#runs.clear();
    for (const graph of this.#graphs.values()) graph.drained();
  }

  #now(): number {
    return this.#watch.look(this.#clock.monotonicMs());
  }

  /** Watches only while something is in flight: an idle device is left alone. */
  #scheduleTick(): void {
    this.#cancelTick = this.#clock.after(WATCH_INTERVAL_MS, () => {
      this.#cancelTick = undefined;
      if (this.#runs.size === 0 || this.#pipe.endReason !== undefined) {
        this.#pingSentMs = undefined;
        this.#arena?.trim();
        reusedBuffers.trim();
        return;
      }
      const nowMs = this.#now();
      const running = [...this.#runs.values()].flatMap(({ graph, startedMs, measuredMs }) => {
        return startedMs === undefined ? [] : [{ graph, startedMs, measuredMs }];
      });
      const answersWhileRunning = this.#answersWhileRunning;
      const hang = hangOf({ nowMs, pingSentMs: this.#pingSentMs, answersWhileRunning, running }, this.#limits);
      if (hang !== undefined) {
        const culprit = hang.run?.graph;
        const whose = (culprit === undefined ? this.graphs : [culprit]).map(({ label }) => label).join(', ');
        this.kill(new RuntimeError('executor-hung', `the executor of ${whose} hung: ${hang.reason}`), culprit);
        return;
      }
      if (this.#pingSentMs === undefined) {
        this.#pingSentMs = nowMs;
        this.#pipe.send({ type: 'ping', id: 0 });
      }
      this.#scheduleTick();
    });
  }
}

function loadFailed(cause: unknown): RuntimeError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new RuntimeError('load-failed', message, { cause });
}

// The runtime: graphs in executor processes that are watched and replaced (design decisions 3 and 17). A dead or hung executor
// fails its own runs with a retryable error and is replaced at once; runs that come meanwhile wait for the new one within their
// signal. ONNX Runtime never enters this process.
import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import { CrashRecord } from './crash-record.js';
import { executorFacts, ExecutorPool, loadFacts, type ExecutorPoolModules } from './executor-pool.js';
import type { ExecutorGraphOptions } from './executor-process.js';
import type {
  CompiledCache,
  GraphRunner,
  GraphRunResult,
  LoadGraphOptions,
  LoadPhase,
  Runtime,
  SequenceRun,
} from './graph-runner.js';
import type { LoadedGraph } from './loaded-graph.js';
import { inputElements, RunProfile } from './run-profile.js';
import { RuntimeError } from './runtime-error.js';
import type { Standing } from './trust-ledger.js';
import { delay } from '../system/clock.js';
import type { NamedTensor } from '../tensor/tensor.js';

/** A replacement that takes longer to load counts as a death. */
const RELOAD_LIMIT_MS = 300_000;

interface ExecutorRuntimeModules extends ExecutorPoolModules {
  /** For graphs that state none; without it, as many as the cores carry. */
  readonly concurrency?: number | undefined;
  /** Cores that runs may use: no run gets more threads, and so many threads compute at once. Without it all of the machine's. */
  readonly cores?: number | undefined;
  /** Where graphs are kept as the engine made them for this machine; absent = nowhere. */
  readonly compiledCache?: Pick<CompiledCache, 'folder' | 'limitBytes'> | undefined;
}

/** What a runner needs of the runtime. */
type RunnerModules = Pick<ExecutorRuntimeModules, 'clock' | 'log'> & { readonly pool: ExecutorPool };

export class ExecutorRuntime implements Runtime {
  readonly #modules: ExecutorRuntimeModules;
  readonly #pool: ExecutorPool;
  readonly #runners = new Set<SupervisedRunner>();
  #closed = false;

  constructor(modules: ExecutorRuntimeModules) {
    this.#modules = modules;
    this.#pool = new ExecutorPool(modules);
  }

  async load(options: LoadGraphOptions, signal: AbortSignal): Promise<GraphRunner> {
    if (this.#closed) throw new RuntimeError('closed', 'the runtime is closed');
    const { cores = availableParallelism(), compiledCache: cache, log } = this.#modules;
    const { content, label, intraOpThreads: asked } = options;
    const intraOpThreads = Math.min(asked, this.#modules.cores ?? Infinity);
    if (intraOpThreads < asked) {
      log.warn({ label, asked, threads: intraOpThreads }, 'fewer threads than asked for: more would only be throttled');
    }
    const carried = this.#modules.concurrency ?? Math.max(1, Math.floor(cores / intraOpThreads));
    const slots = Math.min(options.concurrencyMax ?? Infinity, options.concurrency ?? carried);
    const compiledCache = cache === undefined || content === undefined ? undefined : { ...cache, content };
    const { clock } = this.#modules;
    const crashes = options.crashes ?? new CrashRecord(clock);
    const { onPhase, ...kept } = options;
    const started = { ...kept, intraOpThreads, slots, compiledCache, crashes };
    const told = (phase: LoadPhase): void => {
      if (phase === 'compiling')
        log.info({ label, graph: basename(options.path) }, 'compiling a graph for this machine');
      onPhase?.(phase);
    };
    const graph = await this.#pool.load({ ...started, onPhase: told }, signal);
    const { fallbackReason, engine } = graph.loaded;
    if (fallbackReason !== undefined) {
      log.warn({ label, engine: engine.name, reason: fallbackReason }, 'engine fell back');
    }
    log.info(loadFacts(graph), 'graph loaded');
    const modules = { clock, log, pool: this.#pool };
    const runner = new SupervisedRunner(started, modules, graph, () => this.#runners.delete(runner));
    this.#runners.add(runner);
    if (this.#closed) {
      await runner.close();
      throw new RuntimeError('closed', 'the runtime was closed meanwhile');
    }
    return runner;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#runners].map((runner) => runner.close()));
  }
}

type State =
  | { readonly kind: 'up'; readonly graph: LoadedGraph }
  | { readonly kind: 'replacing'; readonly done: Promise<void> }
  | { readonly kind: 'down' }
  | { readonly kind: 'parked' }
  | { readonly kind: 'closed' };

class SupervisedRunner implements GraphRunner {
  readonly concurrency: number;
  readonly #options: ExecutorGraphOptions;
  readonly #modules: RunnerModules;
  readonly #profile = new RunProfile();
  readonly #closing = new AbortController();
  readonly #onClose: () => void;
  #state: State;
  /** The last executor that loaded: what it said holds until the next one says otherwise. */
  #last: LoadedGraph;
  /** Did the last one die without having answered any run? */
  #suspect = false;
  /** May what is kept of it compiled be made again, where it isn't whole any more? Once, and when no executor has died over it. */
  #mayCompile = true;
  readonly #crashes: CrashRecord;
  readonly #standing: Standing | undefined;

  constructor(options: ExecutorGraphOptions, modules: RunnerModules, graph: LoadedGraph, onClose: () => void) {
    this.#options = options;
    this.#modules = modules;
    this.#onClose = onClose;
    this.#last = graph;
    this.#crashes = options.crashes;
    this.#standing = modules.pool.standingOf(options);
    this.#state = { kind: 'up', graph };
    this.concurrency = graph.loaded.engine.capabilities.concurrentRuns ? options.slots : 1;
    this.#supervise(graph);
  }

  get inputs(): GraphRunner['inputs'] {
    return this.#last.loaded.inputs;
  }
  get outputs(): GraphRunner['outputs'] {
    return this.#last.loaded.outputs;
  }
  get threads(): number {
    return this.#options.intraOpThreads;
  }
  get provider(): GraphRunner['provider'] {
    return this.#last.loaded.provider;
  }
  get engine(): GraphRunner['engine'] {
    return this.#last.loaded.engine;
  }
  get loadMs(): number {
    return this.#last.loadMs;
  }
  get sessionMs(): number {
    return this.#last.loaded.sessionMs;
  }
  get compiled(): GraphRunner['compiled'] {
    return this.#last.loaded.compiled;
  }
  get pid(): number | undefined {
    return this.#state.kind === 'up' ? this.#state.graph.pid : undefined;
  }
  get place(): GraphRunner['place'] {
    return this.#state.kind === 'up' ? this.#state.graph.place : undefined;
  }

  measuredUs(feeds: readonly NamedTensor[]): number | undefined {
    return this.#profile.expectedUs(inputElements(feeds));
  }

  async run(
    feeds: readonly NamedTensor[],
    outputs: readonly string[],
    signal: AbortSignal,
    sequence?: SequenceRun,
  ): Promise<GraphRunResult> {
    if (sequence !== undefined && sequence.step > 0 && (this.#state.kind !== 'up' || this.#state.graph.isEnding)) {
      throw new RuntimeError('state-lost', 'the executor that held the state has ended'); // the next one will not have it
    }
    const graph = await this.#ready(signal);
    const elements = inputElements(feeds);
    const slowestUs = this.#options.timeVaries === true ? undefined : this.#profile.slowestUs(elements);
    const mayCompile = graph.mayCompile(feeds);
    const slowestMs = slowestUs === undefined ? undefined : slowestUs / 1000;
    const result = await graph.run(feeds, outputs, signal, mayCompile ? 'may compile' : slowestMs, sequence);
    if (!mayCompile) this.#profile.record(elements, result.computeUs);
    if (this.#standing?.ran(result.computeUs) === true) void this.#move();
    return result;
  }

  forget(key: number): void {
    if (this.#state.kind === 'up') this.#state.graph.forget(key);
  }

  async park(): Promise<void> {
    const before = this.#state;
    if (before.kind !== 'up' && before.kind !== 'replacing') return;
    this.#state = { kind: 'parked' };
    if (before.kind === 'up') await before.graph.close();
    else await before.done;
  }

  async wake(signal: AbortSignal): Promise<void> {
    await this.#ready(signal);
  }

  async close(): Promise<void> {
    if (this.#state.kind === 'closed') return;
    const before = this.#state;
    this.#state = { kind: 'closed' };
    this.#closing.abort();
    this.#onClose();
    if (before.kind === 'up') await before.graph.close();
    if (before.kind === 'replacing') await before.done;
  }

  /** The graph as it is loaded, or is being loaded again, within the signal. Rejects in quarantine. */
  async #ready(signal: AbortSignal): Promise<LoadedGraph> {
    for (;;) {
      const state = this.#state;
      const { quarantine } = this.#crashes;
      if (quarantine !== undefined && state.kind !== 'closed') {
        throw new RuntimeError('quarantined', `${this.#options.label} is in quarantine: ${quarantine.reason}`);
      }
      if (state.kind === 'up') {
        if (!state.graph.isEnding) return state.graph;
        await within(
          state.graph.ended.then(() => undefined),
          signal,
        ); // killed, but not gone yet: what failed with it must not be sent to it again
        continue;
      }
      if (state.kind === 'closed') throw new RuntimeError('closed', `${this.#options.label} was closed`);
      if (state.kind === 'down' || state.kind === 'parked') {
        this.#replace(0, state.kind === 'parked');
        continue;
      }
      await within(state.done, signal);
    }
  }

  #supervise(graph: LoadedGraph): void {
    void graph.ended.then((error) => {
      if (this.#state.kind !== 'up' || this.#state.graph !== graph) return;
      const { blamed, fruitful } = graph;
      if (blamed && this.#standing !== undefined) {
        this.#standing.died(graph.blamedAlone && !graph.executor.killedByOthers);
        void this.#modules.pool.keepTrust();
      }
      this.#modules.log.warn({ ...executorFacts(graph), blamed, error: error.message }, 'executor ended');
      this.#suspect = blamed && !fruitful;
      this.#replace(blamed ? this.#crashes.died(error.message, error) : 0);
    });
  }

  /** It has proven itself: it goes to others that have, while it is answered where it was. */
  async #move(): Promise<void> {
    const { pool, log } = this.#modules;
    const from = this.#state;
    void pool.keepTrust();
    if (from.kind !== 'up') return;
    try {
      const graph = await pool.move(from.graph, this.#closing.signal);
      if (graph === undefined) return;
      if (this.#state !== from) return await graph.close();
      this.#last = graph;
      this.#state = { kind: 'up', graph };
      this.#supervise(graph);
      log.info(loadFacts(graph), 'graph moved to an executor that others share');
      await from.graph.close();
    } catch (error) {
      log.warn({ label: this.#options.label, error: String(error) }, 'graph not moved: it stays where it is');
    }
  }

  /** `delayMs` undefined: not at all, the model is in quarantine. `woken`: it was parked. */
  #replace(delayMs: number | undefined, woken = false): void {
    // Begins after the state says so: a restart that ends at once would be overwritten otherwise.
    const done: Promise<void> = Promise.resolve()
      .then(() => this.#restart(delayMs, woken, () => this.#state === state))
      .catch((error: unknown) => {
        if (this.#state !== state) return;
        this.#modules.log.error({ label: this.#options.label, error: String(error) }, 'replacing an executor failed');
        this.#state = { kind: 'down' };
      });
    const state: State = { kind: 'replacing', done };
    this.#state = state;
  }

  /** Starts executors until one is up, the model is in quarantine, or it is no longer `wanted`: closed or parked meanwhile. */
  async #restart(firstDelayMs: number | undefined, woken: boolean, wanted: () => boolean): Promise<void> {
    const { clock, log } = this.#modules;
    const { label } = this.#options;
    for (let delayMs = firstDelayMs; ;) {
      if (delayMs === undefined) {
        log.error({ label, reason: this.#crashes.quarantine?.reason }, 'executor not replaced: quarantined');
        if (wanted()) this.#state = { kind: 'down' };
        return;
      }
      if (delayMs > 0) await delay(clock, delayMs, this.#closing.signal);
      if (!wanted()) return;
      try {
        await this.#options.verify?.();
        const limit = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(RELOAD_LIMIT_MS)]);
        const { compiledCache: cache } = this.#options;
        const discard = this.#suspect; // what is kept may be why it ended
        this.#mayCompile &&= !discard;
        const useOnly = !woken || !this.#mayCompile; // after a death requests wait that had been let in
        const compiledCache = cache === undefined ? undefined : { ...cache, discard, useOnly };
        const graph = await this.#modules.pool.load({ ...this.#options, compiledCache }, limit);
        if (!wanted()) {
          await graph.close();
          return;
        }
        await this.#accept(graph);
        log.info(loadFacts(graph), 'executor started again');
        const { runs: provider, reason } = graph.loaded.provider;
        const before = this.#last.loaded.provider.runs;
        if (provider !== before) log.warn({ label, before, provider, reason }, 'another provider runs the graph now');
        this.#mayCompile &&= !graph.compiledAnew;
        this.#last = graph;
        this.#suspect = false;
        this.#state = { kind: 'up', graph };
        this.#supervise(graph);
        return;
      } catch (error) {
        if (!wanted()) return;
        const how = error instanceof Error ? error.message : String(error);
        log.warn({ label, error: how }, 'executor not replaced');
        this.#suspect = true;
        const end = error instanceof RuntimeError ? error.cause : undefined;
        delayMs = this.#crashes.died(how, end instanceof RuntimeError ? end : undefined);
      }
    }
  }

  async #accept(graph: LoadedGraph): Promise<void> {
    try {
      this.#options.accept?.(graph.loaded.provider);
    } catch (error) {
      await graph.close();
      throw error;
    }
  }
}

/** Waits for `promise`, but no longer than the signal. Rejects with RuntimeError `cancelled`. */
function within(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void =>
      reject(new RuntimeError('cancelled', 'cancelled while the executor was being replaced'));
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    void promise.then(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
    return undefined;
  });
}

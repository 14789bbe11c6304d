// The runtime: graphs in executor processes that are watched and replaced (design decisions 3 and 17). A dead or hung executor
// fails its own runs with a retryable error and is replaced at once; runs that come meanwhile wait for the new one within their
// signal. ONNX Runtime and koffi never enter this process.
import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import { CrashRecord } from './crash-record.js';
import { ExecutorProcess, type ExecutorProcessModules, type ExecutorProcessOptions } from './executor-process.js';
import type {
  CompiledCache,
  GraphRunner,
  GraphRunResult,
  LoadGraphOptions,
  Runtime,
  SequenceRun,
} from './graph-runner.js';
import { inputElements, RunProfile } from './run-profile.js';
import { RuntimeError } from './runtime-error.js';
import { delay } from '../system/clock.js';
import type { NamedTensor } from '../tensor/tensor.js';

/** A replacement that takes longer to load counts as a death. */
const RELOAD_LIMIT_MS = 300_000;

interface ExecutorRuntimeModules extends ExecutorProcessModules {
  /** For graphs that state none; without it, as many as the cores carry. */
  readonly concurrency?: number | undefined;
  /** Cores that runs may use: no run gets more threads, and so many threads compute at once. Without it all of the machine's. */
  readonly cores?: number | undefined;
  /** Where graphs are kept as the engine made them for this machine; absent = nowhere. */
  readonly compiledCache?: Pick<CompiledCache, 'folder' | 'limitBytes'> | undefined;
}

export class ExecutorRuntime implements Runtime {
  readonly #modules: ExecutorRuntimeModules;
  readonly #runners = new Set<SupervisedRunner>();
  #closed = false;

  constructor(modules: ExecutorRuntimeModules) {
    this.#modules = modules;
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
    const started = { ...options, intraOpThreads, slots, compiledCache };
    const executor = await startExecutor(started, this.#modules, signal);
    const { fallbackReason, engine } = executor.loaded;
    if (fallbackReason !== undefined) {
      log.warn({ label, engine: engine.name, reason: fallbackReason }, 'engine fell back');
    }
    log.info({ label, ...loadFacts(options, executor) }, 'graph loaded');
    const runner = new SupervisedRunner(started, this.#modules, executor, () => this.#runners.delete(runner));
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

/** Starts an executor. One that has compiled a graph, or died over a compiled one, is followed by another. */
async function startExecutor(
  options: ExecutorProcessOptions,
  modules: ExecutorRuntimeModules,
  signal: AbortSignal,
): Promise<ExecutorProcess> {
  try {
    const executor = await ExecutorProcess.start(options, modules, signal);
    if (executor.loaded.compiled?.kind !== 'built') return executor;
    modules.log.info({ label: options.label, ...loadFacts(options, executor) }, 'graph compiled for this machine');
    await executor.close(); // what compiling took would stay with it
    return await ExecutorProcess.start(options, modules, signal);
  } catch (error) {
    const { compiledCache: cache, label } = options;
    const died = error instanceof RuntimeError && error.cause instanceof RuntimeError;
    if (cache === undefined || cache.discard === true || !died || signal.aborted) throw error;
    modules.log.warn({ label, error: error.message }, 'executor died while it loaded; without the compiled graph now');
    return ExecutorProcess.start({ ...options, compiledCache: { ...cache, discard: true } }, modules, signal);
  }
}

/** For the log, whose own `pid` is the agent's or the hub's. */
function executorFacts({ path }: LoadGraphOptions, { pid }: ExecutorProcess): object {
  return { graph: basename(path), executorPid: pid };
}

function loadFacts(options: LoadGraphOptions, executor: ExecutorProcess): object {
  const { loadMs, loaded } = executor;
  const { sessionMs, compiled, sharedMemory } = loaded;
  return {
    ...executorFacts(options, executor),
    loadMs: Math.round(loadMs),
    sessionMs: Math.round(sessionMs),
    sharedMemory,
    compiled,
  };
}

type State =
  | { readonly kind: 'up'; readonly executor: ExecutorProcess }
  | { readonly kind: 'replacing'; readonly done: Promise<void> }
  | { readonly kind: 'down' }
  | { readonly kind: 'parked' }
  | { readonly kind: 'closed' };

class SupervisedRunner implements GraphRunner {
  readonly concurrency: number;
  readonly #options: ExecutorProcessOptions;
  readonly #modules: ExecutorRuntimeModules;
  readonly #profile = new RunProfile();
  readonly #closing = new AbortController();
  readonly #onClose: () => void;
  #state: State;
  /** The last executor that loaded: what it said holds until the next one says otherwise. */
  #last: ExecutorProcess;
  /** Did the last one die without having answered any run? */
  #suspect = false;
  readonly #crashes: CrashRecord;

  constructor(
    options: ExecutorProcessOptions,
    modules: ExecutorRuntimeModules,
    executor: ExecutorProcess,
    onClose: () => void,
  ) {
    this.#options = options;
    this.#modules = modules;
    this.#onClose = onClose;
    this.#last = executor;
    this.#crashes = options.crashes ?? new CrashRecord(modules.clock);
    this.#state = { kind: 'up', executor };
    this.concurrency = executor.loaded.engine.capabilities.concurrentRuns ? options.slots : 1;
    this.#supervise(executor);
  }

  get inputs(): GraphRunner['inputs'] {
    return this.#last.loaded.inputs;
  }
  get outputs(): GraphRunner['outputs'] {
    return this.#last.loaded.outputs;
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
    return this.#state.kind === 'up' ? this.#state.executor.pid : undefined;
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
    if (sequence !== undefined && sequence.step > 0 && (this.#state.kind !== 'up' || this.#state.executor.isEnding)) {
      throw new RuntimeError('state-lost', 'the executor that held the state has ended'); // the next one will not have it
    }
    const executor = await this.#ready(signal);
    const elements = inputElements(feeds);
    const slowestUs = this.#options.timeVaries === true ? undefined : this.#profile.slowestUs(elements);
    const mayCompile = executor.mayCompile(feeds);
    const slowestMs = slowestUs === undefined ? undefined : slowestUs / 1000;
    const result = await executor.run(feeds, outputs, signal, mayCompile ? 'may compile' : slowestMs, sequence);
    if (!mayCompile) this.#profile.record(elements, result.computeUs);
    return result;
  }

  forget(key: number): void {
    if (this.#state.kind === 'up') this.#state.executor.forget(key);
  }

  async park(): Promise<void> {
    const before = this.#state;
    if (before.kind !== 'up' && before.kind !== 'replacing') return;
    this.#state = { kind: 'parked' };
    if (before.kind === 'up') await before.executor.close();
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
    if (before.kind === 'up') await before.executor.close();
    if (before.kind === 'replacing') await before.done;
  }

  /** The executor that is up, or the one that is coming, within the signal. Rejects in quarantine. */
  async #ready(signal: AbortSignal): Promise<ExecutorProcess> {
    for (;;) {
      const state = this.#state;
      const { quarantine } = this.#crashes;
      if (quarantine !== undefined && state.kind !== 'closed') {
        throw new RuntimeError('quarantined', `${this.#options.label} is in quarantine: ${quarantine.reason}`);
      }
      if (state.kind === 'up') {
        if (!state.executor.isEnding) return state.executor;
        await within(
          state.executor.ended.then(() => undefined),
          signal,
        ); // killed, but not gone yet: what failed with it must not be sent to it again
        continue;
      }
      if (state.kind === 'closed') throw new RuntimeError('closed', `${this.#options.label} was closed`);
      if (state.kind === 'down' || state.kind === 'parked') {
        this.#replace();
        continue;
      }
      await within(state.done, signal);
    }
  }

  #supervise(executor: ExecutorProcess): void {
    void executor.ended.then((error) => {
      if (this.#state.kind !== 'up' || this.#state.executor !== executor) return;
      this.#modules.log.warn(
        { label: this.#options.label, ...executorFacts(this.#options, executor), error: error.message },
        'executor ended',
      );
      this.#suspect = !executor.fruitful;
      this.#replace(this.#crashes.died(error.message));
    });
  }

  /** `delayMs` undefined: not at all, the model is in quarantine. */
  #replace(delayMs: number | undefined = 0): void {
    // Begins after the state says so: a restart that ends at once would be overwritten otherwise.
    const done: Promise<void> = Promise.resolve()
      .then(() => this.#restart(delayMs, () => this.#state === state))
      .catch((error: unknown) => {
        if (this.#state !== state) return;
        this.#modules.log.error({ label: this.#options.label, error: String(error) }, 'replacing an executor failed');
        this.#state = { kind: 'down' };
      });
    const state: State = { kind: 'replacing', done };
    this.#state = state;
  }

  /** Starts executors until one is up, the model is in quarantine, or it is no longer `wanted`: closed or parked meanwhile. */
  async #restart(firstDelayMs: number | undefined, wanted: () => boolean): Promise<void> {
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
        const compiledCache = cache === undefined ? undefined : { ...cache, discard, useOnly: true };
        const executor = await startExecutor({ ...this.#options, compiledCache }, this.#modules, limit);
        if (!wanted()) {
          await executor.close();
          return;
        }
        await this.#accept(executor);
        log.info({ label, ...loadFacts(this.#options, executor) }, 'executor started again');
        const { runs: provider, reason } = executor.loaded.provider;
        const before = this.#last.loaded.provider.runs;
        if (provider !== before) log.warn({ label, before, provider, reason }, 'another provider runs the graph now');
        this.#last = executor;
        this.#suspect = false;
        this.#state = { kind: 'up', executor };
        this.#supervise(executor);
        return;
      } catch (error) {
        if (!wanted()) return;
        const how = error instanceof Error ? error.message : String(error);
        log.warn({ label, error: how }, 'executor not replaced');
        this.#suspect = true;
        delayMs = this.#crashes.died(how);
      }
    }
  }

  async #accept(executor: ExecutorProcess): Promise<void> {
    try {
      this.#options.accept?.(executor.loaded.provider);
    } catch (error) {
      await executor.close();
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

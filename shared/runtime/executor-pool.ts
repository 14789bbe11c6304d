// The executors of one runtime: starts them, and loads each graph into the one that the policy names (placement-policy.ts).
// Compiling never happens in an executor that others use, and never stays in one: what it took would stay with it.
import assert from 'node:assert';
import { ExecutorProcess, type ExecutorGraphOptions, type ExecutorProcessModules } from './executor-process.js';
import { chooseStart, type StartChild } from './executor-child.js';
import { basename } from 'node:path';
import type { LoadedGraph } from './loaded-graph.js';
import type { Standing, TrustLedger } from './trust-ledger.js';
import { placeGraph, type GraphToPlace, type OpenExecutor } from './placement-policy.js';
import { RuntimeError } from './runtime-error.js';

interface Joinable extends OpenExecutor {
  readonly process: ExecutorProcess;
}

export interface ExecutorPoolModules extends Omit<ExecutorProcessModules, 'startChild'> {
  /** How trusty graphs have proven; absent = only the graphs of one model share executors. */
  readonly trust?: TrustLedger | undefined;
}

export class ExecutorPool {
  readonly #modules: ExecutorPoolModules;
  #startChild: StartChild | undefined;
  /** Those that others may join. */
  readonly #open = new Map<ExecutorProcess, OpenExecutor['kind']>();

  constructor(modules: ExecutorPoolModules) {
    this.#modules = modules;
  }

  /** Loads the graph into an executor. Rejects as ExecutorProcess.load; where that died over a compiled graph, one more has tried without. */
  async load(options: ExecutorGraphOptions, signal: AbortSignal): Promise<LoadedGraph> {
    const { log, engine } = this.#modules;
    this.#startChild ??= await chooseStart(log, engine);
    try {
      return await this.#place(options, signal);
    } catch (error) {
      const { compiledCache: cache, label } = options;
      const died = error instanceof RuntimeError && error.cause instanceof RuntimeError;
      if (cache === undefined || cache.discard === true || !died || signal.aborted) throw error;
      log.warn({ label, error: error.message }, 'executor died while it loaded; without the compiled graph now');
      return this.#alone({ ...options, compiledCache: { ...cache, discard: true } }, signal);
    }
  }

  /** Undefined where nothing is kept of it, or models don't share. */
  standingOf({ content }: ExecutorGraphOptions): Standing | undefined {
    return content === undefined ? undefined : this.#modules.trust?.of(content);
  }

  /** Has the ledger store what it knows. */
  async keepTrust(): Promise<void> {
    await this.#modules.trust?.keep();
  }

  /**
   * The graph has proven itself: where may it be now? Undefined = where it is: it must stay there, or others come to it. Else as
   * `load`, with nothing compiled.
   */
  async move(graph: LoadedGraph, signal: AbortSignal): Promise<LoadedGraph | undefined> {
    const { options, executor } = graph;
    const placement = placeGraph(this.#toPlace(options), this.#joinable());
    if (placement.kind === 'alone' || placement.of !== 'proven') {
      graph.placedFor = placement.reason;
      return undefined;
    }
    if (placement.kind === 'open' && executor.graphs.length === 1 && this.#open.has(executor)) {
      this.#open.set(executor, 'proven');
      graph.placedFor = placement.reason;
      return undefined;
    }
    const { compiledCache: cache } = options;
    return this.load({ ...options, compiledCache: cache && { ...cache, useOnly: true } }, signal);
  }

  async #place(options: ExecutorGraphOptions, signal: AbortSignal): Promise<LoadedGraph> {
    const { trust } = this.#modules;
    if (trust !== undefined) await trust.ready;
    const placement = placeGraph(this.#toPlace(options), this.#joinable());
    const graph = await (placement.kind === 'join'
      ? this.#join(placement.executor.process, options, signal)
      : this.#alone(options, signal, placement.kind === 'open' ? placement.of : undefined));
    graph.placedFor = placement.reason;
    return graph;
  }

  /** What isn't compiled yet is compiled in an executor of its own, and loaded from there. */
  async #join(process: ExecutorProcess, options: ExecutorGraphOptions, signal: AbortSignal): Promise<LoadedGraph> {
    const { compiledCache } = options;
    if (compiledCache === undefined) return process.load(options, signal);
    try {
      return await process.load({ ...options, compiledCache: { ...compiledCache, compileApart: true } }, signal);
    } catch (error) {
      if (!(error instanceof RuntimeError) || error.code !== 'not-compiled') throw error;
    }
    const compiles = compiledCache.useOnly !== true;
    if (compiles) {
      const compiling = await this.#start(options, undefined).load(options, signal);
      this.#modules.log.info(loadFacts(compiling), 'graph compiled for this machine, or why not');
      await compiling.close();
    }
    const graph = await process.load({ ...options, compiledCache: { ...compiledCache, useOnly: true } }, signal);
    graph.compiledAnew = compiles;
    return graph;
  }

  /** In an executor of its own, which others of the kind `open` may join. One that has compiled is followed by another. */
  async #alone(options: ExecutorGraphOptions, signal: AbortSignal, open?: OpenExecutor['kind']): Promise<LoadedGraph> {
    const graph = await this.#start(options, open).load(options, signal);
    if (graph.loaded.compiled?.kind !== 'built') return graph;
    this.#modules.log.info(loadFacts(graph), 'graph compiled for this machine');
    await graph.close(); // what compiling took would stay with it
    const again = await this.#start(options, open).load(options, signal);
    again.compiledAnew = true;
    return again;
  }

  #start(
    { label, slots, intraOpThreads }: ExecutorGraphOptions,
    open: OpenExecutor['kind'] | undefined,
  ): ExecutorProcess {
    const named = open === 'proven' ? 'proven models' : label;
    assert(this.#startChild !== undefined, 'nothing is started but by load');
    const modules = { ...this.#modules, startChild: this.#startChild };
    const process = new ExecutorProcess({ label: named, slots, intraOpThreads }, modules);
    if (open === undefined) return process;
    this.#open.set(process, open);
    void process.ended.then(() => this.#open.delete(process));
    return process;
  }

  #joinable(): Joinable[] {
    return [...this.#open].flatMap(([process, kind]) => {
      const { slots, intraOpThreads, graphs, isEnding } = process;
      if (isEnding || graphs.length === 0) return [];
      const models = new Set(graphs.map(({ options }) => options.crashes));
      return [{ process, kind, slots, intraOpThreads, models, graphs: graphs.length }];
    });
  }

  #toPlace(options: ExecutorGraphOptions): GraphToPlace {
    const { crashes, slots, intraOpThreads, providers, state, timeVaries, sizeBytes = Infinity } = options;
    return {
      ...{ model: crashes, slots, intraOpThreads, gpuAsked: providers.some((provider) => provider !== 'cpu') },
      ...{ hasState: state !== undefined, timeVaries: timeVaries === true, sizeBytes },
      standing: this.standingOf(options),
    };
  }
}

/** For the log, whose own `pid` is the agent's or the hub's. */
export function executorFacts({ options, pid }: LoadedGraph): object {
  return { label: options.label, graph: basename(options.path), executorPid: pid };
}

export function loadFacts(graph: LoadedGraph): object {
  const { sessionMs, compiled, sharedMemory } = graph.loaded;
  const { graphs: executorGraphs, reason: placedFor } = graph.place;
  const times = { loadMs: Math.round(graph.loadMs), sessionMs: Math.round(sessionMs) };
  return { ...executorFacts(graph), executorGraphs, placedFor, ...times, sharedMemory, compiled };
}

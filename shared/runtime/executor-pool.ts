// The executors of one runtime: starts them, and loads each graph into the one that the policy names (placement-policy.ts).
// Compiling never happens in an executor that others use, and never stays in one: what it took would stay with it.
import { ExecutorProcess, type ExecutorGraphOptions, type ExecutorProcessModules } from './executor-process.js';
import { basename } from 'node:path';
import type { LoadedGraph } from './loaded-graph.js';
import { placeGraph, type GraphToPlace, type OpenExecutor } from './placement-policy.js';
import { RuntimeError } from './runtime-error.js';

interface Joinable extends OpenExecutor {
  readonly process: ExecutorProcess;
}

export class ExecutorPool {
  readonly #modules: ExecutorProcessModules;
  /** Those that others may join. */
  readonly #open = new Set<ExecutorProcess>();

  constructor(modules: ExecutorProcessModules) {
    this.#modules = modules;
  }

  /** Loads the graph into an executor. Rejects as ExecutorProcess.load; where that died over a compiled graph, one more has tried without. */
  async load(options: ExecutorGraphOptions, signal: AbortSignal): Promise<LoadedGraph> {
    const { log } = this.#modules;
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

  async #place(options: ExecutorGraphOptions, signal: AbortSignal): Promise<LoadedGraph> {
    const placement = placeGraph(toPlace(options), this.#joinable());
    const graph = await (placement.kind === 'join'
      ? this.#join(placement.executor.process, options, signal)
      : this.#alone(options, signal, placement.kind === 'open'));
    graph.placement = { kind: placement.kind, reason: placement.reason };
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
    if (compiledCache.useOnly !== true) {
      const compiling = await this.#start(options, false).load(options, signal);
      this.#modules.log.info(loadFacts(compiling), 'graph compiled for this machine, or why not');
      await compiling.close();
    }
    return process.load({ ...options, compiledCache: { ...compiledCache, useOnly: true } }, signal);
  }

  /** In an executor of its own, which others may join where it is `open`. One that has compiled is followed by another. */
  async #alone(options: ExecutorGraphOptions, signal: AbortSignal, open = false): Promise<LoadedGraph> {
    const graph = await this.#start(options, open).load(options, signal);
    if (graph.loaded.compiled?.kind !== 'built') return graph;
    this.#modules.log.info(loadFacts(graph), 'graph compiled for this machine');
    await graph.close(); // what compiling took would stay with it
    return this.#start(options, open).load(options, signal);
  }

  #start({ label, slots, intraOpThreads }: ExecutorGraphOptions, open: boolean): ExecutorProcess {
    const process = new ExecutorProcess({ label, slots, intraOpThreads }, this.#modules);
    if (!open) return process;
    this.#open.add(process);
    void process.ended.then(() => this.#open.delete(process));
    return process;
  }

  #joinable(): Joinable[] {
    return [...this.#open].flatMap((process) => {
      const { slots, intraOpThreads, graphs, isEnding } = process;
      if (isEnding || graphs.length === 0) return [];
      return [{ process, slots, intraOpThreads, models: new Set(graphs.map(({ options }) => options.crashes)) }];
    });
  }
}

function toPlace({ crashes, slots, intraOpThreads, providers, state, timeVaries }: ExecutorGraphOptions): GraphToPlace {
  return {
    ...{ model: crashes, slots, intraOpThreads, gpuAsked: providers.some((provider) => provider !== 'cpu') },
    ...{ hasState: state !== undefined, timeVaries: timeVaries === true },
  };
}

/** For the log, whose own `pid` is the agent's or the hub's. */
export function executorFacts({ options, pid }: LoadedGraph): object {
  return { label: options.label, graph: basename(options.path), executorPid: pid };
}

export function loadFacts(graph: LoadedGraph): object {
  const { sessionMs, compiled, sharedMemory } = graph.loaded;
  const { kind: executor = 'alone', reason = 'it is tried without what others were loaded from' } =
    graph.placement ?? {};
  const times = { loadMs: Math.round(graph.loadMs), sessionMs: Math.round(sessionMs) };
  return { ...executorFacts(graph), executor, reason, ...times, sharedMemory, compiled };
}

// What a server tells of one graph that it has loaded: where and on what it runs, what loading it took, what it has run.
import type { EngineCapabilities, ProviderReport } from '../runtime/engine.js';
import type { CompiledReport, GraphPlace, GraphRunner } from '../runtime/graph-runner.js';
import type { SchedulerCounts } from '../scheduling/scheduler.js';
import type { PaddingState } from '../scheduling/sharing-proof.js';
import type { GraphSlot } from './evaluate-request.js';

/** Memory shares are of 1, to three places; counts are since the model was opened. */
export interface GraphReport {
  readonly graph: string;
  readonly pid: number | undefined;
  /** Graphs in its executor and why they share it, or don't; null while it is in none. */
  readonly executor: Omit<GraphPlace, 'pid'> | null;
  readonly engine: string;
  readonly engineVersion: string;
  readonly capabilities: EngineCapabilities;
  readonly provider: ProviderReport;
  readonly loadMs: number;
  readonly sessionMs: number | undefined;
  /** Whether the engine cache had it, or why not; undefined where there is no cache. */
  readonly compiled: CompiledReport | undefined;
  readonly concurrency: number;
  /** Of one run. */
  readonly threads: number;
  readonly counts: SchedulerCounts;
  /** Absent where the package doesn't ask for it. */
  readonly padding?: PaddingState;
}

/** As it is now: an executor that was replaced may have come up elsewhere, on another provider. */
export function graphReport({ graph, runner, scheduler }: GraphSlot): GraphReport {
  return {
    graph,
    pid: runner.pid,
    executor: placeOf(runner),
    engine: runner.engine.name,
    engineVersion: runner.engine.version,
    capabilities: runner.engine.capabilities,
    provider: runner.provider,
    loadMs: runner.loadMs,
    sessionMs: runner.sessionMs,
    compiled: runner.compiled,
    concurrency: runner.concurrency,
    threads: runner.threads,
    counts: scheduler.counts,
    ...(scheduler.padding === undefined ? {} : { padding: scheduler.padding }),
  };
}

function placeOf({ place }: GraphRunner): Omit<GraphPlace, 'pid'> | null {
  if (place === undefined) return null;
  const { graphs, memoryShare, reason } = place;
  return { graphs, memoryShare: Number(memoryShare.toFixed(3)), reason };
}

// One request through a model's pipeline: each graph by its scheduler, with the state that its sequence has reached, or taken from
// the kept stages. What the runs took is summed up for the answer.
//
// Invariants: it settles by the request's deadline where it goes through `inTime`; a run that several items of the request
// shared is counted once.
import type { CarriedState } from '../runtime/engine.js';
import type { GraphRunner } from '../runtime/graph-runner.js';
import type { PaddingRule } from '../scheduling/padding-rule.js';
import type { Scheduler } from '../scheduling/scheduler.js';
import type { Clock } from '../system/clock.js';
import type { NamedTensor } from '../tensor/tensor.js';
import type { RequestTrace } from '../tracing/span.js';
import type { TraceContext } from '../tracing/trace-context.js';
import type { ChoiceFacts } from './choice-facts.js';
import type { KeptStages } from './kept-stages.js';
import type { Pipeline } from './pipeline.js';
import type { SequenceTurn } from './sequences.js';
import { ServingError } from './serving-error.js';

/** A graph of a model that is loaded. */
export interface GraphSlot {
  readonly graph: string;
  readonly runner: GraphRunner;
  readonly scheduler: Scheduler;
  /** Rows of several requests that one run may take; 1 = each request runs alone. */
  readonly batchRowsMax: number;
  /** Where the package has the graph's outputs kept: what they are kept under. */
  readonly stage: string | undefined;
  /** As GraphTraits says. */
  readonly nodes: number;
  /** What its sequences carry. */
  readonly state: CarriedState | undefined;
  /** How its requests may be padded; absent = they may not. */
  readonly ragged?: PaddingRule | undefined;
}

/** One run of a graph on behalf of a request. */
export interface RunFacts {
  readonly graph: string;
  readonly queueUs: number;
  readonly computeUs: number;
  /** The request's own rows, and those of the run that they shared with others. */
  readonly rows: number;
  readonly batchRows: number;
  /** Where the run is told: of each of its requests that is traced. */
  readonly traces: readonly TraceContext[];
}

export interface PipelineRequest {
  readonly inputs: readonly NamedTensor[];
  readonly outputs: readonly string[];
  /** Monotonic. */
  readonly deadlineMs: number;
  readonly priority: number;
  /** Absent = nobody said. */
  readonly caller?: string | undefined;
  /** On whose behalf within the caller's share; absent = nobody said. */
  readonly tenant?: string | undefined;
  /** Where its runs are told; absent = nowhere. */
  readonly trace?: RequestTrace | undefined;
  /** Hears of what each graph is fed for this request, before it runs. */
  readonly onFeeds?: (graph: string, feeds: readonly NamedTensor[]) => void;
  /** Hears of each run for this request that ended well. */
  readonly onRun?: (run: RunFacts) => void;
  /** Hears which side each branch of the pipeline took. */
  readonly onChoice?: (choice: ChoiceFacts) => void;
  /** Of the stages that `cache.stages` names; absent = all are run. */
  readonly stages?: KeptStages | undefined;
}

interface Evaluated {
  readonly outputs: readonly NamedTensor[];
  /** Longest wait of a part of the request for an executor. */
  readonly queueUs: number;
  /** Time inside the engine, summed over the runs that this answer comes from. */
  readonly computeUs: number;
  readonly confidence: number | undefined;
  /** False where no graph ran for it. */
  readonly computed: boolean;
  /** One graph ran for it, once and for nobody else, and nothing of it was kept. */
  readonly alone: boolean;
}

/** The parts of a model that a request goes through. */
interface Parts {
  readonly slots: readonly GraphSlot[];
  readonly pipeline: Pipeline;
  /** With the package's `heavy` variations where it has them. */
  readonly heavy: boolean;
}

/** Rejects as the pipeline and the scheduler do. `turn`: the request's in its sequence. */
export async function evaluateRequest(
  { slots, pipeline, heavy }: Parts,
  request: PipelineRequest,
  signal: AbortSignal,
  turn: SequenceTurn | undefined,
): Promise<Evaluated> {
  let queueUs = 0;
  let alone = true;
  const runs = new Map<string, number>();
  const { deadlineMs, priority, caller = '', tenant } = request;
  const trace = request.trace?.span?.context;
  const runGraph = async (
    graph: string,
    feeds: readonly NamedTensor[],
    outputs: readonly string[],
    inner: AbortSignal,
  ): Promise<readonly NamedTensor[]> => {
    const slot = slots.find((candidate) => candidate.graph === graph);
    if (slot === undefined) throw new Error(`the graph ${graph} is not loaded`);
    request.onFeeds?.(graph, feeds);
    const { stage: identity } = slot;
    const stage = identity === undefined ? undefined : request.stages?.look({ graph, identity, feeds, outputs });
    if (stage?.outputs !== undefined) return stage.outputs;
    const sequence = slot.state === undefined ? undefined : turn?.at(graph);
    const work = {
      feeds,
      outputs,
      deadlineMs,
      priority,
      caller,
      tenant,
      trace,
      ...(sequence === undefined ? {} : { sequence }),
    };
    const result = await slot.scheduler.run(work, inner);
    if (sequence !== undefined) turn?.moved(graph);
    stage?.keep(result.outputs, result.computeUs);
    queueUs = Math.max(queueUs, result.queueUs);
    runs.set(`${graph} ${result.runId}`, result.computeUs); // items of one request may share a run
    const { computeUs, batchRows, traces } = result;
    const rows = feeds[0]?.shape[0] ?? 1;
    if (batchRows > rows || stage !== undefined) alone = false;
    request.onRun?.({ graph, queueUs: result.queueUs, computeUs, rows, batchRows, traces });
    return result.outputs;
  };
  const { inputs, outputs: wanted, onChoice } = request;
  const asked = onChoice === undefined ? { inputs, outputs: wanted } : { inputs, outputs: wanted, onChoice };
  const { outputs, confidence } = heavy
    ? await pipeline.runHeavy(asked, runGraph, signal)
    : await pipeline.run(asked, runGraph, signal);
  const computeUs = [...runs.values()].reduce((sum, us) => sum + us, 0);
  const computed = runs.size > 0;
  return { outputs, confidence, queueUs, computeUs: Math.round(computeUs), computed, alone: alone && runs.size === 1 };
}

/** Steps can't be ended from outside, so the answer to the caller is: at the deadline (monotonic), whatever still runs. */
export function inTime<T>(
  deadlineMs: number,
  clock: Clock,
  signal: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = new AbortController();
    const end = (error: ServingError): void => {
      abort.abort(error);
      reject(error);
    };
    const onAbort = (): void => end(new ServingError('cancelled', 'the caller went away'));
    const remainingMs = Math.max(0, deadlineMs - clock.monotonicMs());
    // A little after the scheduler's own timer, whose error says more.
    const cancelTimer = clock.after(remainingMs + 1, () =>
      end(new ServingError('deadline-exceeded', 'the deadline passed before the answer was there')),
    );
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    void run(abort.signal)
      .then(resolve, reject)
      .finally(() => {
        cancelTimer();
        signal.removeEventListener('abort', onAbort);
      });
  });
}

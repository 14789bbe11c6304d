// A request in the queue, with what the queue and the runs need of it; and what a graph tells the cores that its requests wait for
// (cores.ts). Types only.
import type { SequenceRun } from '../runtime/graph-runner.js';
import type { ServingError } from '../serving/serving-error.js';
import type { NamedTensor } from '../tensor/tensor.js';
import type { TraceContext } from '../tracing/trace-context.js';
import type { PlannedRun } from './admission.js';
import type { RunShape } from './run-times.js';
import type { Run, RunningRuns } from './running-runs.js';

export interface ScheduledWork {
  readonly feeds: readonly NamedTensor[];
  /** Wanted outputs of the graph; all when empty. */
  readonly outputs: readonly string[];
  /** Monotonic. */
  readonly deadlineMs: number;
  /** 1 highest; 0 unstated. */
  readonly priority: number;
  /** Whose share it takes; empty = nobody said. */
  readonly caller: string;
  /** On whose behalf, within that share; absent = nobody said. */
  readonly tenant?: string | undefined;
  /** Of a graph that carries state: never batched (maxRows 1). */
  readonly sequence?: SequenceRun;
  /** Where its runs are told; absent = nowhere. */
  readonly trace?: TraceContext | undefined;
}

/** What is known of a request whose feeds are still to come. */
export interface UnreadWork extends Pick<ScheduledWork, 'deadlineMs' | 'priority' | 'caller' | 'tenant'> {
  /** Of all feeds together; undefined = not known either. */
  readonly bytes: number | undefined;
}

export interface ScheduledResult {
  readonly outputs: NamedTensor[];
  readonly queueUs: number;
  readonly computeUs: number;
  /** Rows of the run that this answer came from. */
  readonly batchRows: number;
  /** Number of that run; answers of one batch share it. */
  readonly runId: number;
  /** Where that run is told: of each of its members that is traced. */
  readonly traces: readonly TraceContext[];
}

export interface ScheduledRequest extends PlannedRun {
  readonly lane: Lane;
  readonly work: ScheduledWork;
  readonly shape: RunShape;
  readonly rows: number;
  readonly enqueuedMs: number;
  alone: boolean;
  retried: boolean;
  settled: boolean;
  /** What the trial batch answered, to be compared with what it gets alone, and from what length it was padded in it. */
  trial: { readonly outputs: readonly NamedTensor[]; readonly paddedFrom: number | undefined } | undefined;
  run: Run<ScheduledRequest> | undefined;
  readonly resolve: (result: ScheduledResult) => void;
  readonly reject: (error: ServingError) => void;
  readonly stopWaiting: () => void;
}

/** What may go into a run that begins now. */
export interface NextRun {
  /** The first is in it. */
  readonly members: readonly ScheduledRequest[];
  /** Of a caller that had many times as much as another one. */
  readonly heavy: boolean;
  /** Runs that could begin now, this one included: waiting rows are shared out among them. */
  readonly freeSlots: number;
  /** What its requests may take together; one alone takes what it takes. */
  readonly longestMs: number;
  /** False where its cores may be free a little later. */
  readonly timed: boolean;
}

/** One graph, as the cores see it. */
export interface Lane {
  /** Runs of it that compute at once. */
  readonly slots: number;
  /** Cores that one of them takes. */
  readonly threads: number;
  /** Can its engine end a run? */
  readonly cancellable: boolean;
  /** Requests of it that wait. */
  readonly waiting: number;
  readonly runs: RunningRuns<ScheduledRequest>;
  /** When each slot will be free. */
  slotsFreeMs(nowMs: number): number[];
  /** Takes what has its turn out of the queue and runs it: the first of the members, and others of them that share its run. */
  begin(next: NextRun): void;
  /** Its caller went away, or it can't be answered: out of the queue, or out of its run, which ends when it was the last. */
  giveUp(item: ScheduledRequest, error: ServingError): void;
  /** May its members run again? */
  mayRepeat(run: Run<ScheduledRequest>): boolean;
  /** Ends a run for another caller's request; its members run again. */
  makeWay(run: Run<ScheduledRequest>): void;
}

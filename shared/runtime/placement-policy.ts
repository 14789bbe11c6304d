// Which executor a graph is loaded into: one of its own, or one that holds others. An executor costs some 20 MiB before it holds
// anything (docs/decisions/0005-shared-executors.md), which is more than most small models; but whatever ends it ends the
// runs of all that are in it, and its slots are filled first come, first served. So there are two kinds that hold several:
// the graphs of one model, which share their fate anyway, since a request needs them all; and small, fast graphs of any models
// that have proven themselves on this device (trust-ledger.ts). Pure.
import type { Standing } from './trust-ledger.js';

/** A graph that is about to be loaded. */
export interface GraphToPlace {
  /** Whose it is; the same object for the graphs of one model. */
  readonly model: object;
  readonly slots: number;
  readonly intraOpThreads: number;
  /** Another provider than the CPU was asked for. */
  readonly gpuAsked: boolean;
  readonly hasState: boolean;
  /** It takes as long as its data make it. */
  readonly timeVaries: boolean;
  /** Its files. */
  readonly sizeBytes: number;
  /** Undefined where models don't share executors. */
  readonly standing: Pick<Standing, 'missing' | 'crashed' | 'runUs'> | undefined;
}

/** An executor that others may join. */
export interface OpenExecutor {
  readonly slots: number;
  readonly intraOpThreads: number;
  /** Proven graphs of any models, or those of one model. */
  readonly kind: 'proven' | 'model';
  /** Whose graphs it holds. */
  readonly models: ReadonlySet<object>;
  readonly graphs: number;
}

/** `alone`: nobody may join it later either. `open`: a new one, for others of the kind. */
export type Placement<E extends OpenExecutor> = { readonly reason: string } & (
  | { readonly kind: 'alone' }
  | { readonly kind: 'open'; readonly of: OpenExecutor['kind'] }
  | { readonly kind: 'join'; readonly of: OpenExecutor['kind']; readonly executor: E }
);

interface PlacementLimits {
  /** Of a graph that shares with other models: its share of the saving is small above, and loading it again takes long. */
  readonly sizeBytes: number;
  /** So long others may have to wait for one of its runs. */
  readonly runUs: number;
  /** In one executor: so many are loaded again when it dies. */
  readonly graphs: number;
}

export const PLACEMENT_LIMITS: PlacementLimits = { sizeBytes: 32 << 20, runUs: 50_000, graphs: 16 };

export function placeGraph<E extends OpenExecutor>(
  graph: GraphToPlace,
  executors: readonly E[],
  limits: PlacementLimits = PLACEMENT_LIMITS,
): Placement<E> {
  const alone = mustBeAlone(graph);
  if (alone !== undefined) return { kind: 'alone', reason: alone };
  const fitting = executors.filter(
    ({ slots, intraOpThreads }) => slots === graph.slots && intraOpThreads === graph.intraOpThreads,
  );
  const against = notWithOthers(graph, limits);
  if (against === undefined) {
    const reason = `proven and small, ${milliseconds(graph.standing?.runUs ?? 0)} a run: with others that are`;
    const executor = fitting.find(({ kind, graphs }) => kind === 'proven' && graphs < limits.graphs);
    return executor === undefined
      ? { kind: 'open', of: 'proven', reason }
      : { kind: 'join', of: 'proven', executor, reason };
  }
  const reason = `only with graphs of its own model: ${against}`;
  const executor = fitting.find(({ kind, models }) => kind === 'model' && models.has(graph.model));
  return executor === undefined
    ? { kind: 'open', of: 'model', reason }
    : { kind: 'join', of: 'model', executor, reason };
}

function mustBeAlone({ gpuAsked, hasState, timeVaries }: GraphToPlace): string | undefined {
  if (gpuAsked) return 'it may run on a GPU, whose driver may take the process along';
  if (hasState) return 'it holds what sequences carry, which no other graph may lose';
  if (timeVaries) return 'it takes as long as its data make it, and others would wait';
  return undefined;
}

/** Why it may not share with graphs of other models; undefined where it may. */
function notWithOthers({ standing, sizeBytes }: GraphToPlace, limits: PlacementLimits): string | undefined {
  if (standing === undefined) return 'models do not share executors here';
  if (standing.crashed) return 'an executor ended while it alone computed';
  if (standing.missing !== undefined) return `it has to prove itself first (${standing.missing})`;
  if (sizeBytes > limits.sizeBytes) return `large, ${sizeBytes} bytes (limit ${limits.sizeBytes})`;
  if (standing.runUs > limits.runUs)
    return `slow, ${milliseconds(standing.runUs)} a run (limit ${milliseconds(limits.runUs)})`;
  return undefined;
}

function milliseconds(us: number): string {
  return `${(us / 1000).toFixed(1)} ms`;
}

// Which executor a graph is loaded into: one of its own, or one that holds others. An executor costs some 20 MiB before it holds
// anything (docs/decisions/0005-shared-executors.md), which is more than most small models; but whatever ends it ends the
// runs of all that are in it. The graphs of one model share that fate anyway: a request needs them all. Pure.

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
}

/** An executor that others may join. */
export interface OpenExecutor {
  readonly slots: number;
  readonly intraOpThreads: number;
  /** Whose graphs it holds. */
  readonly models: ReadonlySet<object>;
}

/** `alone`: nobody may join it later either. */
export type Placement<E extends OpenExecutor> = { readonly reason: string } & (
  { readonly kind: 'alone' | 'open' } | { readonly kind: 'join'; readonly executor: E }
);

export function placeGraph<E extends OpenExecutor>(graph: GraphToPlace, executors: readonly E[]): Placement<E> {
  const against = reasonAgainst(graph);
  if (against !== undefined) return { kind: 'alone', reason: against };
  const executor = executors.find(({ slots, intraOpThreads, models }) => {
    return slots === graph.slots && intraOpThreads === graph.intraOpThreads && models.has(graph.model);
  });
  if (executor !== undefined) return { kind: 'join', executor, reason: 'with the other graphs of its model' };
  return { kind: 'open', reason: 'only graphs of its own model may join it' };
}

function reasonAgainst({ gpuAsked, hasState, timeVaries }: GraphToPlace): string | undefined {
  if (gpuAsked) return 'it may run on a GPU, whose driver may take the process along';
  if (hasState) return 'it holds what sequences carry, which no other graph may lose';
  if (timeVaries) return 'it takes as long as its data make it, and others would wait';
  return undefined;
}

// Which sides of which branches have to be taken for a node to be needed: read off the dataflow before anything runs. Pure. A node that feeds
// only what a branch may leave out carries a guard, and waits for the branch's decision; all others run at once.
//
// Invariant: nothing waits in a circle. Nodes get an order in which each stands behind what feeds it, and with the values that decide as early as
// can be; a node waits only for decisions whose value is made before it. A side that this rule can't wait for counts as taken: then a node may run
// without need, never the other way round.
import type { PlannedNode } from '../package/dataflow.js';
import type { PreparedDataflow } from './pipeline-prepare.js';
import type { Selection } from './pipeline-selection.js';

export interface Side {
  readonly branch: PlannedNode;
  readonly held: boolean;
  /** Of a branch on a list: needed as a whole if any item takes the side, not item by item. */
  readonly whole: boolean;
}

/** Needed where all sides of one of the ways are taken. */
export type Guard = readonly (readonly Side[])[];

/** Of a node that lies on more ways than this, each is taken to be open. */
const LIMIT_WAYS = 16;

interface Conditions {
  /** Values that the request gives: nothing has to be made for them. */
  readonly given: ReadonlySet<string>;
  /** Values that leave the pipeline. */
  readonly kept: ReadonlySet<string>;
  /** Where the request is evaluated in several variations: nodes that differ between them. What is shared can't wait for their decisions. */
  readonly varied: ReadonlySet<PlannedNode>;
}

/** Of the nodes that may be left out. */
export function guardsOf(
  dataflow: PreparedDataflow,
  { nodes }: Pick<Selection, 'nodes'>,
  { given, kept, varied }: Conditions,
): ReadonlyMap<PlannedNode, Guard> {
  const { plan, steps } = dataflow;
  const branches = nodes.filter((node) => steps.get(node)?.chooses !== undefined);
  if (branches.length === 0) return new Map();
  const selected = new Set(nodes);
  const makerOf = (value: string): PlannedNode | undefined => {
    const maker = given.has(value) ? undefined : plan.makerOf.get(value);
    return maker !== undefined && selected.has(maker) ? maker : undefined;
  };
  const order = orderOf(nodes, branches, makerOf);
  const ways = new Map<PlannedNode, (readonly Side[])[]>(nodes.map((node) => [node, []]));
  for (const maker of [...kept].map(makerOf)) if (maker !== undefined) ways.get(maker)?.push([]);
  const guards = new Map<PlannedNode, Guard>();
  for (const node of [...order.keys()].reverse()) {
    const waits = ({ branch }: Side): boolean => {
      const decides = makerOf(branch.inputs[0]?.value ?? '');
      if (!varied.has(node) && (varied.has(branch) || (decides !== undefined && varied.has(decides)))) return false;
      return decides === undefined || order.get(decides)! < order.get(node)!;
    };
    const byItem = runsByItem(dataflow, node);
    const seen = (side: Side): Side => (byItem ? side : asWhole(dataflow, side));
    const guard = simplest((ways.get(node) ?? []).map((way) => way.filter(waits).map(seen)));
    if (!guard.some((way) => way.length === 0)) guards.set(node, guard);
    for (const [at, { value }] of node.inputs.entries()) {
      const maker = makerOf(value);
      if (maker !== undefined) ways.get(maker)?.push(...through(dataflow, node, at, guard));
    }
  }
  return guards;
}

/** The ways through a node to one of its inputs. */
function through({ steps }: PreparedDataflow, node: PlannedNode, at: number, own: Guard): Guard {
  const chooses = steps.get(node)?.chooses;
  if (chooses === undefined || at === 0) return own;
  return [true, false]
    .filter((held) => chooses.side(held, node.inputs.length).includes(at))
    .flatMap((held) => own.map((way) => [...way, { branch: node, held, whole: false }]));
}

/** Of a node that is no item's, as of what it takes, all is needed if any item takes the side. Rows stay rows. */
function asWhole(dataflow: PreparedDataflow, side: Side): Side {
  return runsByItem(dataflow, side.branch) ? { ...side, whole: true } : side;
}

/** Does the node run once for each item of a list? */
function runsByItem({ types, listNodes }: PreparedDataflow, node: PlannedNode): boolean {
  return !listNodes.has(node) && node.inputs.some(({ value }) => !types.has(value));
}

/** Each node's place: behind what feeds it; first the values that decide, those of the outermost branches before all. */
function orderOf(
  nodes: readonly PlannedNode[],
  branches: readonly PlannedNode[],
  makerOf: (value: string) => PlannedNode | undefined,
): Map<PlannedNode, number> {
  const order = new Map<PlannedNode, number>();
  const visit = (node: PlannedNode | undefined): void => {
    if (node === undefined || order.has(node)) return;
    for (const { value } of node.inputs) visit(makerOf(value));
    order.set(node, order.size);
  };
  for (const branch of [...branches].reverse()) visit(makerOf(branch.inputs[0]?.value ?? ''));
  for (const node of nodes) visit(node);
  return order;
}

/** Without the ways that another one contains. */
function simplest(ways: Guard): Guard {
  const names = ways.map((way) => new Set(way.map(({ branch, held, whole }) => `${branch.index} ${held} ${whole}`)));
  const contains = (way: ReadonlySet<string>, other: ReadonlySet<string>): boolean =>
    [...other].every((name) => way.has(name));
  const kept = ways.filter((_, at) => {
    const way = names[at]!;
    return !names.some((other, index) => contains(way, other) && (other.size < way.size || index < at));
  });
  return kept.length > LIMIT_WAYS ? [[]] : kept;
}

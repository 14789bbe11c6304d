// Where a pipeline can be cut in two, so that its first part runs here and the rest on another server: pure. A cut lies between two nodes in running
// order. What the part behind it takes must be values that a request can give by name, so no cut goes through a list, and the two parts together
// make the very outputs that the whole makes. The first cut lies before everything: the whole elsewhere.
import type { DataflowPlan, PlannedNode } from '../package/dataflow.js';
import type { ModelYaml } from '../wire/model-yaml.js';
import type { PreparedDataflow } from './pipeline-prepare.js';

export interface PipelineCut {
  /** The values that cross, `boxes, pixels`: no two cuts have one name. */
  readonly name: string;
  /** What the part behind it is given; of the cut before everything, the public inputs. */
  readonly crossing: readonly string[];
  /** What the part before it is asked for; empty = there is no such part. */
  readonly wantedHere: readonly string[];
  /** Of the model's outputs, in their order: what the part behind it makes. */
  readonly wantedThere: readonly string[];
  /** Graphs that have run when the crossing values are there, by path. */
  readonly graphsBefore: readonly string[];
  /** The graph that would start at this moment, where the cut lies directly before one. */
  readonly nextGraph: string | undefined;
  /** The part before it takes one picture at a time: a request of several can't be cut here. */
  readonly oneItem: boolean;
}

/** In running order. Empty where the package doesn't say `placement.split`. */
export function pipelineCuts(yaml: ModelYaml, dataflow: PreparedDataflow): readonly PipelineCut[] {
  if (!yaml.placement.split) return [];
  const nodes = neededNodes(yaml, dataflow.plan);
  const cuts = new Map<string, PipelineCut>();
  for (let at = 0; at < nodes.length; at += 1) {
    const cut = cutAt(yaml, dataflow, nodes.slice(0, at), nodes.slice(at));
    if (cut !== undefined && !cuts.has(cut.name)) cuts.set(cut.name, cut);
  }
  return [...cuts.values()];
}

function cutAt(
  yaml: ModelYaml,
  { types, itemNodes, heavy }: PreparedDataflow,
  before: readonly PlannedNode[],
  behind: readonly PlannedNode[],
): PipelineCut | undefined {
  if (heavy !== undefined && behind.includes(heavy.node)) return undefined; // the hub would answer in another way
  if (before.length > 0 && behind.some((node) => itemNodes.has(node))) return undefined; // would split what crosses into items
  const graphsBefore = graphsOf(before);
  if (graphsOf(behind).some((graph) => graphsBefore.includes(graph))) return undefined; // its times can't be told apart
  const madeBehind = new Set(behind.flatMap(({ outputs }) => outputs.map(({ value }) => value)));
  const taken = new Set(behind.flatMap(({ inputs }) => inputs.map(({ value }) => value)));
  const crossing = [...taken].filter((value) => !madeBehind.has(value));
  if (!crossing.every((value) => types.has(value))) return undefined;
  const isInput = new Set(yaml.inputs.map(({ name }) => name));
  const inner = crossing.filter((value) => !isInput.has(value));
  if (before.length > 0 && inner.length === 0) return undefined;
  const outputs = yaml.outputs.map(({ name }) => name);
  const [next] = behind;
  return {
    name: [...crossing].sort().join(', '),
    crossing,
    wantedHere: [...new Set([...inner, ...outputs.filter((name) => !madeBehind.has(name))])],
    wantedThere: outputs.filter((name) => madeBehind.has(name)),
    graphsBefore,
    nextGraph: next !== undefined && 'graph' in next.node ? next.node.graph : undefined,
    oneItem: before.some((node) => itemNodes.has(node)),
  };
}

/** What the model's outputs hang on, in running order. */
function neededNodes({ outputs }: ModelYaml, { nodes, makerOf }: DataflowPlan): readonly PlannedNode[] {
  const needed = new Set<PlannedNode>();
  const open = outputs.map(({ name }) => name);
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    const maker = makerOf.get(value);
    if (maker === undefined || needed.has(maker)) continue;
    needed.add(maker);
    open.push(...maker.inputs.map((input) => input.value));
  }
  return nodes.filter((node) => needed.has(node));
}

function graphsOf(nodes: readonly PlannedNode[]): string[] {
  return nodes.flatMap(({ node }) => ('graph' in node ? [node.graph] : []));
}

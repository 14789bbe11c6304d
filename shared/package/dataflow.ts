// The dataflow of a model.yaml: which node makes which value, and in which order nodes can run. Checked without loading
// anything, so that a wrong package is refused when it is read; checked again with the graphs' own inputs and outputs
// once these are known. Invariant of a plan: every value has one maker, no cycles, every input has a maker or is public.
import type { ModelYaml, PipelineNode } from '../wire/model-yaml.js';
import type { GraphSignature } from './model-package.js';

export class DataflowError extends Error {
  override readonly name = 'DataflowError';
  /** Path in model.yaml, as zod's. */
  readonly path: readonly PropertyKey[];
  constructor(path: readonly PropertyKey[], message: string) {
    super(message);
    this.path = path;
  }
}

/** One end of a node: the name that the step (its position) or graph knows, and the value of the pipeline. */
export interface Port {
  readonly port: string;
  readonly value: string;
}

export interface PlannedNode {
  /** Position in the yaml's pipeline. */
  readonly index: number;
  /** What errors call it: `step resize`, `graph rec.onnx`. */
  readonly title: string;
  readonly node: PipelineNode;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
}

export interface DataflowPlan {
  /** In an order in which they can run. */
  readonly nodes: readonly PlannedNode[];
  /** The node that makes a value; public inputs have none. */
  readonly makerOf: ReadonlyMap<string, PlannedNode>;
}

/**
 * Plans the pipeline. `signatures`, by graph path, complete the graph nodes that leave their names out; without them such
 * a node's missing ends are taken on trust. Throws DataflowError with the path of what is wrong.
 */
export function planDataflow(yaml: ModelYaml, signatures?: ReadonlyMap<string, GraphSignature>): DataflowPlan {
  const nodes = yaml.pipeline.map((node, index) => planNode(node, index, signatures));
  checkState(yaml);
  const open = signatures === undefined && yaml.pipeline.some((node) => 'graph' in node && node.outputs === undefined);
  const makerOf = findMakers(yaml, nodes);
  checkPublicNames(yaml);
  const isInput = new Set(yaml.inputs.map((input) => input.name));
  const known = (value: string): boolean => open || isInput.has(value) || makerOf.has(value);
  for (const { index, title, node, inputs } of nodes) {
    for (const [at, { port, value }] of inputs.entries()) {
      if (known(value)) continue;
      const path = 'graph' in node ? ['pipeline', index, 'inputs', port] : ['pipeline', index, 'inputs', at];
      throw new DataflowError(path, `${title} takes '${value}', which no input and no node makes`);
    }
  }
  checkReferences(yaml, known);
  return { nodes: inRunningOrder(nodes, makerOf), makerOf };
}

function planNode(
  node: PipelineNode,
  index: number,
  signatures: ReadonlyMap<string, GraphSignature> | undefined,
): PlannedNode {
  if ('step' in node) {
    const ends = (values: readonly string[]): Port[] => values.map((value, at) => ({ port: String(at), value }));
    const title = node.id === undefined ? `step ${node.step}` : `step ${node.step} (${node.id})`;
    return { index, title, node, inputs: ends(node.inputs), outputs: ends(node.outputs) };
  }
  const title = `graph ${node.graph}`;
  const signature = signatures?.get(node.graph);
  if (signatures !== undefined && signature === undefined) {
    throw new DataflowError(['pipeline', index, 'graph'], `${title} is not loaded`);
  }
  const carried = { inputs: node.state?.map(({ input }) => input), outputs: node.state?.map(({ output }) => output) };
  const inputs = ends(node.inputs, signature?.inputs, carried.inputs);
  const outputs = ends(node.outputs, signature?.outputs, carried.outputs);
  refuseCarried(title, index, 'inputs', inputs, carried.inputs);
  refuseCarried(title, index, 'outputs', outputs, carried.outputs);
  if (signature !== undefined) {
    checkPorts(
      title,
      index,
      'inputs',
      inputs,
      signature.inputs.map(({ name }) => name),
    );
    checkPorts(
      title,
      index,
      'outputs',
      outputs,
      signature.outputs.map(({ name }) => name),
    );
    const fed = new Set([...inputs.map(({ port }) => port), ...(carried.inputs ?? [])]);
    const missing = signature.inputs.find(({ name }) => !fed.has(name));
    if (missing !== undefined) {
      throw new DataflowError(
        ['pipeline', index, 'inputs'],
        `${title} needs its input '${missing.name}', which is not fed`,
      );
    }
  }
  return { index, title, node, inputs, outputs };
}

function ends(
  named: Readonly<Record<string, string>> | undefined,
  declared: GraphSignature['inputs'] | undefined,
  carried: readonly string[] = [],
): Port[] {
  if (named !== undefined) return Object.entries(named).map(([port, value]) => ({ port, value }));
  const free = (declared ?? []).filter(({ name }) => !carried.includes(name));
  return free.map(({ name }) => ({ port: name, value: name }));
}

function refuseCarried(
  title: string,
  index: number,
  side: string,
  ports: readonly Port[],
  carried: readonly string[] = [],
): void {
  const both = ports.find(({ port }) => carried.includes(port));
  if (both === undefined) return;
  const message = `'${both.port}' of ${title} is state, which stays inside: it is no value of the pipeline`;
  throw new DataflowError(['pipeline', index, side, both.port], message);
}

/** State belongs to one place of the pipeline, and what runs several times for one request would mix it up. */
function checkState({ pipeline, heavy }: ModelYaml): void {
  const seen = new Set<string>();
  for (const [index, node] of pipeline.entries()) {
    if (!('graph' in node) || node.state === undefined) continue;
    const refuse = (field: string, message: string): never => {
      throw new DataflowError(['pipeline', index, field], `graph ${node.graph} ${message}`);
    };
    if (pipeline.some((other, at) => at !== index && 'graph' in other && other.graph === node.graph)) {
      refuse('state', 'carries state, and so may stand in the pipeline once');
    }
    if (node.batch !== undefined) refuse('batch', 'carries state, and so takes no lists');
    if (heavy !== undefined) refuse('state', 'carries state, which `heavy` would run several times for one request');
    seen.clear();
    for (const { input, output } of node.state) {
      for (const port of [`input '${input}'`, `output '${output}'`]) {
        if (seen.has(port)) refuse('state', `carries its ${port} twice`);
        seen.add(port);
      }
    }
  }
}

function checkPorts(
  title: string,
  index: number,
  side: string,
  ports: readonly Port[],
  known: readonly string[],
): void {
  const unknown = ports.find(({ port }) => !known.includes(port));
  if (unknown === undefined) return;
  const path = ['pipeline', index, side, unknown.port];
  const one = side === 'inputs' ? 'input' : 'output';
  throw new DataflowError(path, `${title} has no ${one} '${unknown.port}'; it has ${known.join(', ')}`);
}

function findMakers(yaml: ModelYaml, nodes: readonly PlannedNode[]): Map<string, PlannedNode> {
  const inputs = new Set(yaml.inputs.map((input) => input.name));
  const makers = new Map<string, PlannedNode>();
  const ids = new Set<string>();
  for (const planned of nodes) {
    const { index, node } = planned;
    if ('step' in node && node.id !== undefined) {
      if (ids.has(node.id)) throw new DataflowError(['pipeline', index, 'id'], `two nodes have the id '${node.id}'`);
      ids.add(node.id);
    }
    for (const { value } of planned.outputs) {
      const before = inputs.has(value) ? 'an input' : makers.get(value)?.title;
      if (before !== undefined) {
        throw new DataflowError(['pipeline', index, 'outputs'], `'${value}' is already made by ${before}`);
      }
      makers.set(value, planned);
    }
  }
  return makers;
}

function checkPublicNames(yaml: ModelYaml): void {
  for (const side of ['inputs', 'outputs'] as const) {
    const names = yaml[side].map(({ name }) => name);
    const twice = names.findIndex((name, at) => names.indexOf(name) !== at);
    if (twice >= 0) throw new DataflowError([side, twice, 'name'], `'${names[twice]}' stands here twice`);
  }
}

function checkReferences(yaml: ModelYaml, known: (value: string) => boolean): void {
  for (const [at, { name }] of yaml.outputs.entries()) {
    if (!known(name)) throw new DataflowError(['outputs', at, 'name'], `no node makes '${name}'`);
  }
  const { cache, confidence, goldens, heavy } = yaml;
  checkSplit(yaml);
  for (const [at, graph] of cache.stages.entries()) {
    if (yaml.pipeline.some((node) => 'graph' in node && node.graph === graph)) continue;
    throw new DataflowError(['cache', 'stages', at], `the pipeline has no graph '${graph}'`);
  }
  if (confidence && !known(confidence.output)) {
    throw new DataflowError(['confidence', 'output'], `no node makes '${confidence.output}'`);
  }
  if (goldens && !known(goldens.output)) {
    throw new DataflowError(['goldens', 'output'], `no node makes '${goldens.output}'`);
  }
  if (!heavy) return;
  if (!known(heavy.keep)) throw new DataflowError(['heavy', 'keep'], `no node makes '${heavy.keep}'`);
  const count = yaml.pipeline.filter((node) => 'step' in node && (node.id ?? node.step) === heavy.vary.node).length;
  if (count === 1) return;
  const message =
    count === 0
      ? `there is no step '${heavy.vary.node}'`
      : `${count} steps are called '${heavy.vary.node}'; give one an id`;
  throw new DataflowError(['heavy', 'vary', 'node'], message);
}

/** What can never be split should not say that it may be. */
function checkSplit({ placement, privacy, pipeline }: ModelYaml): void {
  if (!placement.split) return;
  const refuse = (message: string): never => {
    throw new DataflowError(['placement', 'split'], message);
  };
  if (privacy.fallback === 'local')
    refuse('contradicts privacy.fallback: local, which keeps every input on the device');
  if (pipeline.some((node) => 'graph' in node && node.state !== undefined))
    refuse('a graph carries state, which stays where its sequence began');
}

/** Kahn's algorithm, stable: among the nodes that can run, the first in the yaml. */
function inRunningOrder(nodes: readonly PlannedNode[], makerOf: ReadonlyMap<string, PlannedNode>): PlannedNode[] {
  const done = new Set<PlannedNode>();
  const order: PlannedNode[] = [];
  const ready = ({ inputs }: PlannedNode): boolean =>
    inputs.every(({ value }) => {
      const maker = makerOf.get(value);
      return maker === undefined || done.has(maker);
    });
  while (order.length < nodes.length) {
    const next = nodes.find((node) => !done.has(node) && ready(node));
    if (next === undefined) {
      const stuck = nodes.find((node) => !done.has(node));
      throw new DataflowError(
        ['pipeline', stuck?.index ?? 0],
        `${stuck?.title ?? 'a node'} needs its own output (a cycle)`,
      );
    }
    done.add(next);
    order.push(next);
  }
  return order;
}

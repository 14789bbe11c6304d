// What a request means for a pipeline: which values it gives, which it wants, and so which nodes run. Pure. A caller may
// enter at any value and leave at any value; what lies before the one and behind the other doesn't run.
import type { PlannedNode } from '../package/dataflow.js';
import { typeName } from '../steps/step-types.js';
import { shapeMatches, type NamedTensor } from '../tensor/tensor.js';
import type { ModelYaml } from '../wire/model-yaml.js';
import type { PreparedDataflow } from './pipeline-prepare.js';
import { ServingError } from './serving-error.js';

export interface Selection {
  /** The answer's outputs, in order. */
  readonly wanted: readonly string[];
  /** In running order. */
  readonly nodes: readonly PlannedNode[];
  /** Values that these nodes must make, or that are wanted. */
  readonly values: ReadonlySet<string>;
  /** The value whose smallest element is the confidence; absent where it would take a graph that isn't run anyway. */
  readonly confidence: string | undefined;
  /** The request is to be split into items. */
  readonly itemWise: boolean;
}

/** Throws ServingError `invalid-argument` with the input's or output's name as field. */
export function select(
  yaml: ModelYaml,
  dataflow: PreparedDataflow,
  inputs: readonly NamedTensor[],
  outputs: readonly string[],
): Selection {
  const given = checkInputs(yaml, dataflow, inputs);
  const wanted = outputs.length === 0 ? defaultOutputs(yaml, dataflow, given) : checkOutputs(yaml, dataflow, outputs);
  const needed = trace(dataflow, given, wanted);
  checkSurplus(yaml, given, needed, wanted);
  const output = yaml.confidence?.output;
  const extended = output === undefined ? undefined : traceConfidence(dataflow, given, wanted, output, needed.nodes);
  const { nodes, values } = extended ?? needed;
  return {
    wanted,
    nodes: dataflow.plan.nodes.filter((node) => nodes.has(node)),
    values,
    confidence: extended === undefined ? undefined : output,
    itemWise: [...nodes].some((node) => dataflow.itemNodes.has(node)),
  };
}

function checkInputs(yaml: ModelYaml, dataflow: PreparedDataflow, inputs: readonly NamedTensor[]): Set<string> {
  const given = new Set<string>();
  for (const input of inputs) {
    const { name } = input;
    if (given.has(name)) throw invalid(name, `input '${name}' is given twice`);
    given.add(name);
    const spec = dataflow.graphInputs.get(name) ?? yaml.inputs.find((one) => one.name === name);
    const type = dataflow.types.get(name);
    if (type === undefined) {
      const names = yaml.inputs.map((one) => one.name).join(', ');
      throw invalid(name, `model '${yaml.name}' has no input '${name}'; it takes ${names}`);
    }
    const fits =
      spec === undefined
        ? input.datatype === type.datatype
        : input.datatype === spec.datatype && shapeMatches(spec.shape, input.shape);
    if (!fits) throw invalid(name, `input '${name}' must be ${typeName(spec ?? type)}, but is ${typeName(input)}`);
  }
  return given;
}

/** The yaml's outputs; of a caller who feeds a graph directly, what that graph makes. */
function defaultOutputs(
  yaml: ModelYaml,
  { plan, graphInputs }: PreparedDataflow,
  given: ReadonlySet<string>,
): string[] {
  const isPublic = new Set(yaml.inputs.map(({ name }) => name));
  const direct = [...given].filter((name) => graphInputs.has(name) && !isPublic.has(name));
  if (direct.length === 0) return yaml.outputs.map(({ name }) => name);
  return plan.nodes
    .filter(({ node, inputs }) => 'graph' in node && inputs.some(({ value }) => direct.includes(value)))
    .flatMap(({ outputs }) => outputs.map(({ value }) => value));
}

function checkOutputs(yaml: ModelYaml, { types }: PreparedDataflow, outputs: readonly string[]): readonly string[] {
  for (const [at, name] of outputs.entries()) {
    if (outputs.indexOf(name) !== at) throw invalid(name, `output '${name}' is asked for twice`);
    if (types.has(name)) continue;
    const names = yaml.outputs.map((one) => one.name).join(', ');
    throw invalid(name, `model '${yaml.name}' has no output '${name}'; it makes ${names}`);
  }
  return outputs;
}

interface Trace {
  readonly nodes: Set<PlannedNode>;
  readonly values: Set<string>;
  readonly used: Set<string>;
}

/** Walks back from the wanted values to the given ones. */
function trace({ plan }: PreparedDataflow, given: ReadonlySet<string>, wanted: readonly string[]): Trace {
  const found: Trace = { nodes: new Set(), values: new Set(wanted), used: new Set() };
  const open = [...wanted];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (given.has(value)) {
      found.used.add(value);
      continue;
    }
    const maker = plan.makerOf.get(value);
    if (maker === undefined) throw invalid(value, `input '${value}' is missing`);
    if (found.nodes.has(maker)) continue;
    found.nodes.add(maker);
    for (const { value: input } of maker.inputs) {
      found.values.add(input);
      open.push(input);
    }
  }
  return found;
}

/** With the confidence added, where that costs steps only: undefined where it would need another graph or more inputs. */
function traceConfidence(
  dataflow: PreparedDataflow,
  given: ReadonlySet<string>,
  wanted: readonly string[],
  output: string,
  before: ReadonlySet<PlannedNode>,
): Trace | undefined {
  try {
    const all = trace(dataflow, given, [...wanted, output]);
    return [...all.nodes].some((node) => 'graph' in node.node && !before.has(node)) ? undefined : all;
  } catch (cause) {
    if (cause instanceof ServingError) return undefined; // the confidence hangs on an input that this request leaves out
    throw cause;
  }
}

/** A public input may be idle for the outputs that are asked for; any other idle one is a misunderstanding. */
function checkSurplus(yaml: ModelYaml, given: ReadonlySet<string>, { used }: Trace, wanted: readonly string[]): void {
  const isPublic = new Set(yaml.inputs.map(({ name }) => name));
  const idle = [...given].find((name) => !used.has(name) && (!isPublic.has(name) || used.size === 0));
  if (idle !== undefined) throw invalid(idle, `input '${idle}' has no influence on ${wanted.join(', ')}`);
}

/** Graphs whose values one step takes, which takes nothing else, and the step. */
export function soleTakers(
  { listNodes, steps }: PreparedDataflow,
  { nodes }: Selection,
): Map<PlannedNode, PlannedNode> {
  const found = new Map<PlannedNode, PlannedNode>();
  for (const graph of nodes) {
    if (!('graph' in graph.node)) continue;
    const values = new Set(graph.outputs.map(({ value }) => value));
    const takers = nodes.filter(({ inputs }) => inputs.some(({ value }) => values.has(value)));
    const [taker] = takers;
    if (taker === undefined || takers.length > 1 || !('step' in taker.node) || listNodes.has(taker)) continue;
    if (steps.get(taker)?.chooses !== undefined) continue;
    if (taker.inputs.every(({ value }) => values.has(value))) found.set(graph, taker);
  }
  return found;
}

function invalid(field: string, message: string): ServingError {
  return new ServingError('invalid-argument', message, { field });
}

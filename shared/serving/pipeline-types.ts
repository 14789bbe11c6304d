// The types of all values, from the public inputs to the public outputs, checked node by node when a package is read. A
// list is a value too: its type is that of its items, and its origin the node that made it. Lists of one origin have equally
// many items, so only these can meet in a node. Lists stay inside the pipeline: what leaves it has been joined.
import type { PlannedNode, DataflowPlan } from '../package/dataflow.js';
import type { GraphSignature } from '../package/model-package.js';
import type { PreparedStep, ValueType } from '../steps/step.js';
import { typeName } from '../steps/step-types.js';
import type { TensorSpec } from '../tensor/tensor.js';
import type { GraphNode, ModelYaml } from '../wire/model-yaml.js';
import { inNode, invalidModel } from './pipeline-faults.js';

interface Parts {
  readonly steps: ReadonlyMap<PlannedNode, PreparedStep>;
  readonly listNodes: ReadonlyMap<PlannedNode, 'makes' | 'joins'>;
  readonly signatures: ReadonlyMap<string, GraphSignature>;
}

interface InferredTypes {
  /** Of every value that is no list. */
  readonly types: Map<string, ValueType>;
  /** What graphs declare of the values that feed them, lists excepted. */
  readonly graphInputs: Map<string, TensorSpec>;
}

interface Typed extends ValueType {
  /** Of a list: the node that made it. `datatype` and `shape` are its items'. */
  readonly origin?: PlannedNode;
}

/** Rejects with PackageError `invalid-model` that names the node. */
export async function inferTypes(yaml: ModelYaml, plan: DataflowPlan, parts: Parts): Promise<InferredTypes> {
  const typed = new Map<string, Typed>(yaml.inputs.map(({ name, datatype, shape }) => [name, { datatype, shape }]));
  const graphInputs = new Map<string, TensorSpec>();
  for (const planned of plan.nodes) {
    const inputs = planned.inputs.map(({ value }) => known(typed, value));
    const step = parts.steps.get(planned);
    if (step === undefined) inferGraph(planned, inputs, parts, typed, graphInputs);
    else await inferStep(planned, step, inputs, parts, typed);
  }
  checkPublicOutputs(yaml, typed);
  const types = new Map<string, ValueType>();
  for (const [name, { datatype, shape, origin }] of typed)
    if (origin === undefined) types.set(name, { datatype, shape });
  return { types, graphInputs };
}

async function inferStep(
  planned: PlannedNode,
  step: PreparedStep,
  inputs: readonly Typed[],
  { listNodes }: Parts,
  typed: Map<string, Typed>,
): Promise<void> {
  const origin = originOf(planned, inputs);
  const lists = listNodes.get(planned);
  if (lists === 'makes' && origin !== undefined) {
    throw invalidModel(`pipeline.${planned.index}.inputs`, `${planned.title} makes a list, and can't be fed one`);
  }
  if (lists === 'joins' && (origin === undefined || inputs.length !== 1)) {
    throw invalidModel(`pipeline.${planned.index}.inputs`, `${planned.title} takes 1 input, which has to be a list`);
  }
  if (step.chooses !== undefined && inputs[0]?.origin === undefined && origin !== undefined) {
    const message = `${planned.title} decides once, and so can't choose between lists: decide by a list, or join them first`;
    throw invalidModel(`pipeline.${planned.index}.inputs`, message);
  }
  const made = await inNode(planned, () => step.inferTypes(inputs.map(({ datatype, shape }) => ({ datatype, shape }))));
  checkOutputCount(planned, made.length);
  const from = lists === 'makes' ? planned : lists === 'joins' ? undefined : origin;
  for (const [at, { value }] of planned.outputs.entries()) {
    const type = made[at];
    if (type !== undefined) typed.set(value, withOrigin(type, from));
  }
}

function inferGraph(
  planned: PlannedNode,
  inputs: readonly Typed[],
  { signatures }: Parts,
  typed: Map<string, Typed>,
  graphInputs: Map<string, TensorSpec>,
): void {
  const { node, title, index } = planned;
  if (!('graph' in node)) throw new Error(`${title} was not prepared`);
  const signature = signatures.get(node.graph);
  const origin = originOf(planned, inputs);
  if (node.state !== undefined && origin !== undefined) {
    throw invalidModel(`pipeline.${index}.state`, `${title} carries state, and can't be fed a list`);
  }
  if (node.batch !== undefined && origin === undefined) {
    throw invalidModel(`pipeline.${index}.batch`, `${title} is fed no list, so there is nothing to batch`);
  }
  for (const [at, { port, value }] of planned.inputs.entries()) {
    const spec = signature?.inputs.find(({ name }) => name === port);
    if (spec === undefined) continue;
    checkFits(planned, port, spec, known(typed, value));
    if (inputs[at]?.origin === undefined) graphInputs.set(value, spec);
    if (node.batch !== undefined) checkBatch(planned, node.batch, port, spec);
  }
  for (const { port, value } of planned.outputs) {
    const spec = signature?.outputs.find(({ name }) => name === port);
    if (spec !== undefined) typed.set(value, withOrigin(spec, origin));
  }
}

function withOrigin({ datatype, shape }: ValueType, origin: PlannedNode | undefined): Typed {
  return origin === undefined ? { datatype, shape } : { datatype, shape, origin };
}

function known(typed: ReadonlyMap<string, Typed>, value: string): Typed {
  const type = typed.get(value);
  if (type === undefined) throw new Error(`the plan is out of order at ${value}`);
  return type;
}

/** The one list that feeds the node; undefined where none does. */
function originOf({ index, title, inputs: ports }: PlannedNode, inputs: readonly Typed[]): PlannedNode | undefined {
  const origins = new Set(inputs.flatMap(({ origin }) => (origin === undefined ? [] : [origin])));
  const [first, second] = origins;
  if (first === undefined || second === undefined) return first;
  const names = ports.filter((_, at) => inputs[at]?.origin !== undefined).map(({ value }) => `'${value}'`);
  const message = `${title} is fed lists of different origin (${names.join(', ')}): ${first.title} and ${second.title}`;
  throw invalidModel(`pipeline.${index}.inputs`, message);
}

function checkBatch(
  { index, title }: PlannedNode,
  { maxRows, padAxis, padValue }: NonNullable<GraphNode['batch']>,
  port: string,
  spec: TensorSpec,
): void {
  const field = `pipeline.${index}.batch`;
  if (maxRows > 1 && spec.shape[0] !== -1) {
    throw invalidModel(`${field}.maxRows`, `${title} takes ${typeName(spec)} as '${port}', which has no free rows`);
  }
  if (padAxis === undefined) return;
  if (spec.shape[padAxis] !== -1) {
    throw invalidModel(
      `${field}.padAxis`,
      `${title} takes ${typeName(spec)} as '${port}', whose dimension ${padAxis} is not free`,
    );
  }
  if (spec.datatype === 'BYTES' || (padValue !== 0 && spec.datatype !== 'FP32')) {
    throw invalidModel(
      `${field}.padValue`,
      `${title} takes ${typeName(spec)} as '${port}', which can't be padded with ${padValue}`,
    );
  }
}

function checkOutputCount({ index, title, outputs }: PlannedNode, made: number): void {
  if (outputs.length <= made) return;
  throw invalidModel(`pipeline.${index}.outputs`, `${title} makes ${made} values, but ${outputs.length} are named`);
}

function checkFits({ index, title }: PlannedNode, port: string, spec: TensorSpec, given: ValueType): void {
  if (compatible(spec, given)) return;
  const message = `${title} takes ${typeName(spec)} as '${port}', but is fed ${typeName(given)}`;
  throw invalidModel(`pipeline.${index}.inputs.${port}`, message);
}

/** And what else model.yaml names of the values. */
function checkPublicOutputs(yaml: ModelYaml, typed: ReadonlyMap<string, Typed>): void {
  const named: readonly (readonly [string, string | undefined])[] = [
    ...yaml.outputs.map(({ name }, at) => [`outputs.${at}`, name] as const),
    ['confidence.output', yaml.confidence?.output],
    ['goldens.output', yaml.goldens?.output],
    ['heavy.keep', yaml.heavy?.keep],
  ];
  for (const [field, value] of named) {
    if (value === undefined || typed.get(value)?.origin === undefined) continue;
    throw invalidModel(
      field,
      `'${value}' is a list, one item for each that ${typed.get(value)?.origin?.title} makes; join it first`,
    );
  }
  for (const [at, output] of yaml.outputs.entries()) {
    const made = known(typed, output.name);
    if (compatible(output, made)) continue;
    const message = `'${output.name}' is declared as ${typeName(output)}, but the pipeline makes ${typeName(made)}`;
    throw invalidModel(`outputs.${at}`, message);
  }
}

function compatible(a: ValueType, b: ValueType): boolean {
  const sizes = a.shape.every((size, at) => size < 0 || (b.shape[at] ?? -1) < 0 || size === b.shape[at]);
  return a.datatype === b.datatype && a.shape.length === b.shape.length && sizes;
}

// Making a pipeline ready once, so that a request only runs it: parameters parsed, assets read, the dataflow ordered, and
// the types of all values checked from the public inputs to the public outputs. What is wrong is the package's fault and
// is said as a PackageError that names the node.
import { DataflowError, planDataflow, type DataflowPlan, type PlannedNode } from '../package/dataflow.js';
import type { GraphSignature } from '../package/model-package.js';
import { PackageError } from '../package/package-error.js';
import { findStep, type StepCatalogue } from '../steps/step-catalogue.js';
import { StepError, type PreparedStep, type StepAssets, type ValueType } from '../steps/step.js';
import { typeName } from '../steps/step-types.js';
import type { TensorSpec } from '../tensor/tensor.js';
import type { ModelYaml } from '../wire/model-yaml.js';

/** One variation of a step, for `heavy`. */
export interface StepVariations {
  readonly node: PlannedNode;
  /** In the yaml's order of values. */
  readonly steps: readonly PreparedStep[];
  /** The output whose larger value wins. */
  readonly keep: string;
}

export interface PreparedDataflow {
  readonly plan: DataflowPlan;
  readonly steps: ReadonlyMap<PlannedNode, PreparedStep>;
  /** Nodes whose step takes one item at a time. */
  readonly itemNodes: ReadonlySet<PlannedNode>;
  /** What graphs declare of the values that feed them. */
  readonly graphInputs: ReadonlyMap<string, TensorSpec>;
  readonly types: ReadonlyMap<string, ValueType>;
  readonly heavy: StepVariations | undefined;
}

/** Rejects with PackageError `invalid-model`. */
export async function prepareDataflow(
  yaml: ModelYaml,
  assets: StepAssets,
  signatures: ReadonlyMap<string, GraphSignature>,
  catalogue: StepCatalogue,
): Promise<PreparedDataflow> {
  const plan = planOrThrow(yaml, signatures);
  const steps = new Map<PlannedNode, PreparedStep>();
  const itemNodes = new Set<PlannedNode>();
  for (const planned of plan.nodes) {
    const { node } = planned;
    if (!('step' in node)) continue;
    const step = await inNode(planned, () => findStep(node.step, catalogue));
    if (step.takesItems) itemNodes.add(planned);
    steps.set(planned, await inNode(planned, () => step.prepare(node.with, assets)));
  }
  const { types, graphInputs } = await inferTypes(yaml, plan, steps, signatures);
  const heavy = await prepareHeavy(yaml, plan, assets, catalogue);
  return { plan, steps, itemNodes, graphInputs, types, heavy };
}

function planOrThrow(yaml: ModelYaml, signatures: ReadonlyMap<string, GraphSignature>): DataflowPlan {
  try {
    return planDataflow(yaml, signatures);
  } catch (cause) {
    if (!(cause instanceof DataflowError)) throw cause;
    throw invalidModel(cause.path.map(String).join('.'), cause.message, cause);
  }
}

async function inferTypes(
  yaml: ModelYaml,
  plan: DataflowPlan,
  steps: ReadonlyMap<PlannedNode, PreparedStep>,
  signatures: ReadonlyMap<string, GraphSignature>,
): Promise<{ types: Map<string, ValueType>; graphInputs: Map<string, TensorSpec> }> {
  const types = new Map<string, ValueType>(yaml.inputs.map(({ name, datatype, shape }) => [name, { datatype, shape }]));
  const graphInputs = new Map<string, TensorSpec>();
  const typeOf = (value: string): ValueType => {
    const type = types.get(value);
    if (type === undefined) throw new Error(`the plan is out of order at ${value}`);
    return type;
  };
  for (const planned of plan.nodes) {
    const step = steps.get(planned);
    if (step !== undefined) {
      const made = await inNode(planned, () => step.inferTypes(planned.inputs.map(({ value }) => typeOf(value))));
      checkOutputCount(planned, made.length);
      for (const [at, { value }] of planned.outputs.entries()) types.set(value, made[at] ?? typeOf(value));
      continue;
    }
    const signature = 'graph' in planned.node ? signatures.get(planned.node.graph) : undefined;
    for (const { port, value } of planned.inputs) {
      const spec = signature?.inputs.find(({ name }) => name === port);
      if (spec === undefined) continue;
      checkFits(planned, port, spec, typeOf(value));
      graphInputs.set(value, spec);
    }
    for (const { port, value } of planned.outputs) {
      const spec = signature?.outputs.find(({ name }) => name === port);
      if (spec !== undefined) types.set(value, spec);
    }
  }
  checkPublicOutputs(yaml, typeOf);
  return { types, graphInputs };
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

function checkPublicOutputs(yaml: ModelYaml, typeOf: (value: string) => ValueType): void {
  for (const [at, output] of yaml.outputs.entries()) {
    const made = typeOf(output.name);
    if (compatible(output, made)) continue;
    const message = `'${output.name}' is declared as ${typeName(output)}, but the pipeline makes ${typeName(made)}`;
    throw invalidModel(`outputs.${at}`, message);
  }
}

function compatible(a: ValueType, b: ValueType): boolean {
  const sizes = a.shape.every((size, at) => size < 0 || (b.shape[at] ?? -1) < 0 || size === b.shape[at]);
  return a.datatype === b.datatype && a.shape.length === b.shape.length && sizes;
}

async function prepareHeavy(
  yaml: ModelYaml,
  plan: DataflowPlan,
  assets: StepAssets,
  catalogue: StepCatalogue,
): Promise<StepVariations | undefined> {
  const { heavy } = yaml;
  if (heavy === undefined) return undefined;
  const { node: id, parameter, values } = heavy.vary;
  const planned = plan.nodes.find(({ node }) => 'step' in node && (node.id ?? node.step) === id);
  if (planned === undefined || !('step' in planned.node))
    throw invalidModel('heavy.vary.node', `there is no step '${id}'`);
  const { step, with: parameters } = planned.node;
  const steps: PreparedStep[] = [];
  for (const [at, value] of values.entries()) {
    const varied = { ...parameters, [parameter]: value };
    steps.push(await inField(`heavy.vary.values.${at}`, () => findStep(step, catalogue).prepare(varied, assets)));
  }
  return { node: planned, steps, keep: heavy.keep };
}

function inNode<T>({ index }: PlannedNode, act: () => T | Promise<T>): Promise<T> {
  return inField(`pipeline.${index}`, act);
}

async function inField<T>(field: string, act: () => T | Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    if (!(cause instanceof StepError)) throw cause;
    throw invalidModel(field, cause.message, cause);
  }
}

function invalidModel(field: string, message: string, cause?: unknown): PackageError {
  return new PackageError(
    'invalid-model',
    message,
    { file: 'model.yaml', field },
    cause === undefined ? {} : { cause },
  );
}

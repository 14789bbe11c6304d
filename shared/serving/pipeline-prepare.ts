// Making a pipeline ready once, so that a request only runs it: parameters parsed, assets read, the dataflow ordered, and
// the types of all values checked from the public inputs to the public outputs. What is wrong is the package's fault and
// is said as a PackageError that names the node.
import { DataflowError, planDataflow, type DataflowPlan, type PlannedNode } from '../package/dataflow.js';
import type { GraphSignature } from '../package/model-package.js';
import { findStep, type StepCatalogue } from '../steps/step-catalogue.js';
import type { PreparedStep, StepAssets, ValueType } from '../steps/step.js';
import { typeName } from '../steps/step-types.js';
import type { TensorSpec } from '../tensor/tensor.js';
import type { ModelYaml } from '../wire/model-yaml.js';
import { inferTypes } from './pipeline-types.js';
import { inField, inNode, invalidModel } from './pipeline-faults.js';

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
  /** Of every value but lists, which stay inside: no request gives one or gets one. */
  readonly types: ReadonlyMap<string, ValueType>;
  /** Nodes that make a list, or join one. */
  readonly listNodes: ReadonlyMap<PlannedNode, 'makes' | 'joins'>;
  readonly heavy: StepVariations | undefined;
  /** Is there a step that chooses between its inputs? */
  readonly branches: boolean;
  /** Those that decide for each row of a request, whose rows go through the pipeline together. */
  readonly rowBranches: ReadonlySet<PlannedNode>;
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
  const listNodes = new Map<PlannedNode, 'makes' | 'joins'>();
  for (const planned of plan.nodes) {
    const { node } = planned;
    if (!('step' in node)) continue;
    const step = await inNode(planned, () => findStep(node.step, catalogue));
    if (step.takesItems) itemNodes.add(planned);
    if (step.lists !== undefined) listNodes.set(planned, step.lists);
    steps.set(planned, await inNode(planned, () => step.prepare(node.with, assets)));
  }
  const { types, graphInputs } = await inferTypes(yaml, plan, { steps, listNodes, signatures });
  checkEmbedding(yaml, plan, types);
  const heavy = await prepareHeavy(yaml, plan, assets, catalogue);
  const { branches, byRow } = checkBranches(yaml, steps, types);
  const hasState = yaml.pipeline.some((node) => 'graph' in node && node.state !== undefined);
  const takesRows = itemNodes.size === 0 && listNodes.size === 0 && !hasState;
  if (!takesRows) for (const node of byRow) itemNodes.add(node); // split into items, each has one row
  const rowBranches = new Set(takesRows ? byRow : []);
  return { plan, steps, itemNodes, listNodes, graphInputs, types, heavy, branches, rowBranches };
}

/** Are there branches, and which of them want a decision for each row of a request? */
function checkBranches(
  yaml: ModelYaml,
  steps: PreparedDataflow['steps'],
  types: PreparedDataflow['types'],
): { branches: boolean; byRow: readonly PlannedNode[] } {
  const byRow: PlannedNode[] = [];
  const branches = [...steps].flatMap(([node, { chooses }]) => (chooses === undefined ? [] : [{ node, chooses }]));
  for (const { node, chooses } of branches) {
    if (yaml.placement.split) {
      const message = `contradicts ${node.title}: what a request takes hangs on its values, so no cut can be chosen`;
      throw invalidModel('placement.split', message);
    }
    const first = types.get(node.inputs[0]?.value ?? ''); // undefined of a list
    if (first === undefined || !chooses.byRow(first)) continue;
    const whole = yaml.inputs.find(({ shape }) => ![-1, 1].includes(shape[0] ?? 0));
    if (whole !== undefined) {
      const message = `${node.title} decides for each row, but dimension 0 of the input '${whole.name}' is no row: ${typeName(whole)}`;
      throw invalidModel(`pipeline.${node.index}.inputs`, message);
    }
    byRow.push(node);
  }
  return { branches: branches.length > 0, byRow };
}

function planOrThrow(yaml: ModelYaml, signatures: ReadonlyMap<string, GraphSignature>): DataflowPlan {
  try {
    return planDataflow(yaml, signatures);
  } catch (cause) {
    if (!(cause instanceof DataflowError)) throw cause;
    throw invalidModel(cause.path.map(String).join('.'), cause.message, cause);
  }
}

/** An embedding that an input has no part in would mix up answers to inputs that differ in it. */
function checkEmbedding(yaml: ModelYaml, plan: DataflowPlan, types: ReadonlyMap<string, ValueType>): void {
  const { embedding, compare } = yaml.cache.semantic ?? {};
  if (embedding === undefined) return;
  const type = types.get(embedding);
  const wrong = (name: string, message: string): Error => invalidModel(`cache.semantic.${name}`, message);
  if (type === undefined) throw wrong('embedding', `'${embedding}' is no value of the pipeline, or a list`);
  if (type.datatype !== 'FP32') throw wrong('embedding', `'${embedding}' must be FP32, but is ${type.datatype}`);
  if (compare !== undefined && !yaml.outputs.some(({ name }) => name === compare))
    throw wrong('compare', `the model has no output '${compare}'`);
  const behind = new Set<string>();
  const open = [embedding];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (behind.has(value)) continue;
    behind.add(value);
    open.push(...(plan.makerOf.get(value)?.inputs ?? []).map((input) => input.value));
  }
  const idle = yaml.inputs.find(({ name }) => !behind.has(name));
  if (idle !== undefined) throw wrong('embedding', `the input '${idle.name}' has no part in '${embedding}'`);
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

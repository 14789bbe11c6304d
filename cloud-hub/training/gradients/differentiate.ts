// Reverse-mode differentiation of an ONNX graph: the same graph with one more output for each parameter, the gradient of a loss.
// Only nodes between a parameter and the loss are differentiated; each must have a rule, which is checked for all of them
// before the first node is made.
import { onnxOpset, operatorName } from '@tidegate/shared/onnx/inspect-model.js';
import type { GraphProto, ModelProto, NodeProto, ValueInfo } from '@tidegate/shared/onnx/model-proto.js';
import { makeValue } from '@tidegate/shared/onnx/make-node.js';
import { validateModel } from '@tidegate/shared/onnx/validate-model.js';
import { GradientBuilder } from './gradient-builder.js';
import { GradientError } from './gradient-error.js';
import { inferShapes } from './infer-shapes.js';
import { stopsGradients } from './stops-gradients.js';
import { RuleNode, type GradientRule } from './gradient-rule.js';
import { GRADIENT_RULES } from './registry.js';

/** ScatterElements adds since 16. */
export const OPSET_MIN = 16;

interface DifferentiateOptions {
  /** A value of the outer graph; where it has several elements, their sum is differentiated. */
  readonly loss: string;
  /** Initializers or inputs, all of one float type (FLOAT or DOUBLE). */
  readonly parameters: readonly string[];
}

/** Name of the output that holds a parameter's gradient, in the parameter's shape. */
export function gradientName(parameter: string): string {
  return `gradient/of/${parameter}`;
}

interface Step {
  readonly rule: GradientRule;
  readonly node: RuleNode;
  /** Its place in the graph. */
  readonly at: number;
}

/** Throws GradientError, or OnnxError where the model itself is not sound. */
export function differentiate(model: ModelProto, { loss, parameters }: DifferentiateOptions): ModelProto {
  const { graph } = validateModel(model);
  const opset = onnxOpset(model);
  if (opset < OPSET_MIN) throw new GradientError('bad-graph', `operator set ${opset} is older than ${OPSET_MIN}`);
  const declared = declaredValues(graph);
  const wanted = reachedFrom(graph, parameters);
  const floatType = checkParameters(declared, wanted, loss, parameters);
  const planned = plan(graph, wanted, loss);
  const b = new GradientBuilder(floatType, inferShapes(graph));
  const { forward, steps } = forwardOf(b, graph, planned);
  const gradients = backward(b, steps, loss);
  const outputs = parameters.map((parameter) => {
    const gradient = gradients.get(parameter);
    if (gradient === undefined) throw new GradientError('not-connected', 'has no path to the loss', parameter);
    b.nodes.push(identity(gradient, gradientName(parameter)));
    const shape = declared.get(parameter)?.dims ?? [];
    return makeValue(
      gradientName(parameter),
      floatType,
      shape.map((d, i) => (d < 0 ? `${parameter}_${i}` : d)),
    );
  });
  return {
    ...model,
    graph: {
      ...graph,
      node: [...forward, ...b.nodes],
      initializer: [...graph.initializer, ...b.initializers],
      output: [...graph.output, ...outputs],
    },
  };
}

function identity(from: string, to: string): NodeProto {
  return { input: [from], output: [to], opType: 'Identity', attribute: [], metadataProps: [] };
}

interface Declared {
  readonly type: number;
  readonly dims: readonly number[];
}

function declaredValues(graph: GraphProto): Map<string, Declared> {
  const ofValue = ({ name, type }: ValueInfo): [string, Declared] => [
    name ?? '',
    {
      type: type?.tensorType?.elemType ?? 0,
      dims: (type?.tensorType?.shape?.dim ?? []).map((d) => (d.dimValue === undefined ? -1 : Number(d.dimValue))),
    },
  ];
  return new Map([
    ...[...graph.valueInfo, ...graph.input].filter((v) => v.type?.tensorType?.shape !== undefined).map(ofValue),
    ...graph.initializer.map((t): [string, Declared] => [t.name ?? '', { type: t.dataType ?? 0, dims: t.dims }]),
  ]);
}

/** The parameters and every value that depends on one smoothly: sizes, comparisons and whole numbers don't. */
function reachedFrom(graph: GraphProto, parameters: readonly string[]): Set<string> {
  const reached = new Set(parameters);
  for (const node of graph.node) {
    if (stopsGradients(node)) continue;
    if (node.input.some((name) => reached.has(name))) node.output.forEach((name) => name && reached.add(name));
  }
  return reached;
}

function checkParameters(
  declared: ReadonlyMap<string, Declared>,
  wanted: ReadonlySet<string>,
  loss: string,
  parameters: readonly string[],
): number {
  const types = new Set<number>();
  for (const parameter of parameters) {
    const found = declared.get(parameter);
    if (found === undefined) throw new GradientError('unknown-value', 'is no input or initializer', parameter);
    types.add(found.type);
  }
  const [type] = types;
  if (types.size !== 1 || (type !== 1 && type !== 11)) {
    throw new GradientError('bad-graph', `parameters must all be FLOAT or all DOUBLE, not ${[...types].join(', ')}`);
  }
  if (!wanted.has(loss)) throw new GradientError('not-connected', 'depends on no parameter', loss);
  return type;
}

/** Rules of all nodes between parameters and loss, last first. */
function plan(graph: GraphProto, wanted: ReadonlySet<string>, loss: string): Step[] {
  const needed = new Set([loss]);
  const steps: Step[] = [];
  const values = { wanted, initializers: new Map(graph.initializer.map((tensor) => [tensor.name ?? '', tensor])) };
  for (let i = graph.node.length - 1; i >= 0; i -= 1) {
    const node = graph.node[i]!;
    const used = node.output.filter((name) => name && needed.has(name));
    if (used.length === 0 || !node.input.some((name) => wanted.has(name))) continue;
    const operator = operatorName(node);
    const where = `node ${node.name || node.output.find(Boolean) || i} (${operator}, number ${i})`;
    const rule = GRADIENT_RULES[operator];
    if (rule === undefined) throw new GradientError('no-gradient', 'the operator has no gradient', where);
    if (rule.takesEveryOutput !== true && used.some((name) => name !== node.output[0])) {
      throw new GradientError('no-gradient', `only its first output has a gradient, not ${used.join(', ')}`, where);
    }
    const step = { rule, node: new RuleNode(node, where, values), at: i };
    rule.check?.(step.node);
    steps.push(step);
    for (const name of node.input) if (wanted.has(name)) needed.add(name);
  }
  return steps;
}

/** The nodes as they run, with what the rules ask of them. */
function forwardOf(
  b: GradientBuilder,
  graph: GraphProto,
  planned: readonly Step[],
): { forward: NodeProto[]; steps: Step[] } {
  const forward = [...graph.node];
  const steps = planned.map((step) => {
    const node = step.rule.forward?.(b, step.node);
    if (node === undefined) return step;
    forward[step.at] = node;
    return { ...step, node: step.node.as(node) };
  });
  return { forward, steps };
}

/** Gradient of every value on the way, by its name. */
function backward(b: GradientBuilder, steps: readonly Step[], loss: string): Map<string, string> {
  const gradients = new Map([[loss, b.filled(b.shape(loss), 1)]]);
  for (const { rule, node } of steps) {
    const outputs = rule.takesEveryOutput === true ? node.node.output : [node.y()];
    if (!outputs.some((name) => gradients.has(name))) continue; // it reaches the loss only through inputs without a gradient
    const ofOutputs = outputs.map((name) => gradients.get(name) ?? b.zeros(b.shape(name)));
    for (const [i, gradient] of rule.backward(b, node, ofOutputs[0] ?? '', ofOutputs).entries()) {
      if (gradient === undefined || !node.wants(i)) continue;
      const before = gradients.get(node.x(i));
      gradients.set(node.x(i), before === undefined ? gradient : b.add(before, gradient));
    }
  }
  return gradients;
}

// One training step as one ONNX graph: forward, loss, backward, clipping, update. Weights and what the optimizer keeps are
// inputs whose next values are outputs; an engine with persistent tensors carries them, so that no weight crosses to JavaScript.
// What is trained: find-parameters.ts. What is frozen stays an initializer, and the backward pass stops there.
//
// With `accumulate` > 1 the gradients are summed, each micro-batch weighed by its samples, so that the update equals that of
// the large batch; weights stay as they are until `apply` is fed as true. With 1 there is no trace of it.
import { makeAttribute, makeValue } from '@tidegate/shared/onnx/make-node.js';
import type { GraphProto, ModelProto, NodeProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { OnnxError } from '@tidegate/shared/onnx/onnx-error.js';
import { rawBytesOf } from '@tidegate/shared/onnx/tensor-data.js';
import { allGraphs, subgraphsOf } from '@tidegate/shared/onnx/walk-graph.js';
import { tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import type { StepNames } from '@tidegate/shared/training/step-names.js';
import type { TrainingParameters } from '@tidegate/shared/wire/training-api.js';
import { differentiate, gradientName } from '../gradients/differentiate.js';
import { appendLoss, lossInput } from './append-loss.js';
import { APPLY, appendUpdate, LEARNING_RATE, nextOf, STEP } from './append-update.js';
import { chooseParameters, type ChosenParameters } from './choose-parameters.js';
import { withConstantsAsInitializers } from './hoist-constants.js';
import { FLOAT, INT64, StepNodes } from './step-nodes.js';
import { upgradeOperators } from './upgrade-operators.js';

/** From here on an initializer need not be an input too. */
const IR_MIN = 8;

type Chosen = 'loss' | 'optimizer' | 'momentum' | 'weightDecay' | 'clipNorm' | 'accumulate' | 'freeze' | 'rates';

export interface StepGraphOptions extends Pick<TrainingParameters, Chosen> {
  /** The graph's output that the loss takes: scores [N, C] or predictions. Default: the only output. */
  readonly output?: string;
  /**
   * `frozen`: normalizes by the running statistics and leaves them (fine-tuning: few samples, small batches). `batch`: normalizes
   * by the batch and carries the running statistics on (from random weights, where they mean nothing yet).
   */
  readonly batchNormalization: 'frozen' | 'batch';
}

export interface StepGraph {
  readonly model: ModelProto;
  /** First values of everything that is carried. */
  readonly initial: readonly NamedTensor[];
  /** Output -> the input that it replaces in the next run. */
  readonly carried: ReadonlyMap<string, string>;
  readonly feeds: StepNames['feeds'];
  readonly outputs: StepNames['outputs'];
  /** The model's initializers that change, and the carried inputs that hold them: weights, and running statistics. */
  readonly parameters: readonly { readonly name: string; readonly input: string }[];
}

/** Throws StepGraphError, GradientError (operators without a gradient, by name and place) or OnnxError. */
export function buildStepGraph(model: ModelProto, options: StepGraphOptions): StepGraph {
  if (model.graph === undefined) throw new OnnxError('no-graph', 'the file holds no graph');
  const taken = lossInput(model.graph, options.output, options.loss);
  const needed = ancestorsOf(withConstantsAsInitializers(model.graph), taken);
  const { graph: pruned, opsetImport } = upgradeOperators({ ...model, graph: needed });
  const chosen = chooseParameters(pruned, options);
  const n = new StepNodes();
  const loss = appendLoss(n, taken, options.loss);
  const forward = withCarriedInputs(pruned, chosen);
  const differentiable: ModelProto = {
    ...model,
    opsetImport,
    irVersion: Math.max(model.irVersion ?? 0, IR_MIN),
    graph: {
      ...forward,
      node: [...forward.node, ...n.nodes],
      input: [...forward.input, loss.labelsInput],
      initializer: [...forward.initializer, ...n.initializers],
      output: [makeValue(loss.loss, FLOAT, [])],
    },
  };
  const names = chosen.trained.map(({ name }) => name);
  const { graph } = differentiate(differentiable, { loss: loss.loss, parameters: names });
  if (graph === undefined) throw new Error('differentiating made no graph');
  const inherited = n.initializers.length;
  const nodesBefore = n.nodes.length;
  const update = appendUpdate(n, chosen.trained, gradientName, loss, options);
  const carried = [...update.carried, ...statisticsOf(chosen).map(carriedTensor)];
  const step: GraphProto = {
    ...graph,
    node: [...graph.node, ...n.nodes.slice(nodesBefore)],
    input: [...graph.input, ...update.inputs],
    initializer: [...graph.initializer, ...n.initializers.slice(inherited)],
    output: [
      ...carried.map(({ output, dims }) => makeValue(output, FLOAT, dims)),
      makeValue(loss.loss, FLOAT, []),
      ...(loss.right === undefined ? [] : [makeValue(loss.right, INT64, [])]),
      makeValue(update.norm, FLOAT, []),
    ],
  };
  const weights = changing(chosen);
  return {
    model: { ...differentiable, graph: step },
    initial: [...weights.map(initialValue), ...update.zeros],
    carried: new Map(carried.map(({ output, input }) => [output, input])),
    feeds: {
      inputs: pruned.input.map(({ name }) => name ?? ''),
      labels: loss.labels,
      learningRate: LEARNING_RATE,
      step: STEP,
      ...(options.accumulate > 1 ? { apply: APPLY } : {}),
    },
    outputs: { loss: loss.loss, ...(loss.right === undefined ? {} : { right: loss.right }), norm: update.norm },
    parameters: weights.map(({ name = '' }) => ({ name, input: name })),
  };
}

/** The model's initializers that change. */
function changing(chosen: ChosenParameters): TensorProto[] {
  return [...chosen.trained.map(({ tensor: t }) => t), ...statisticsOf(chosen)];
}

function statisticsOf({ statistics }: ChosenParameters): TensorProto[] {
  return statistics.flatMap(({ mean, variance }) => [mean, variance]);
}

function carriedTensor({ name = '', dims }: TensorProto) {
  return { input: name, output: nextOf(name), dims };
}

function initialValue(t: TensorProto): NamedTensor {
  const name = t.name ?? '';
  return tensor(name, 'FP32', t.dims, rawBytesOf(t, name));
}

/** What `value` is computed from: an output that no loss takes may need what has no gradient, or can't be upgraded. */
function ancestorsOf(graph: GraphProto, value: string): GraphProto {
  const needed = new Set([value]);
  const nodes: NodeProto[] = [];
  for (const node of graph.node.toReversed()) {
    if (!node.output.some((name) => needed.has(name))) continue;
    nodes.unshift(node);
    for (const name of node.input) needed.add(name);
    for (const inner of subgraphsOf(node).flatMap((sub) => [...allGraphs(sub)])) {
      for (const one of inner.node) one.input.forEach((name) => needed.add(name));
      for (const { name = '' } of inner.output) needed.add(name);
    }
  }
  const initializer = graph.initializer.filter(({ name }) => needed.has(name ?? ''));
  const constants = new Set(initializer.map(({ name }) => name));
  // Before IR version 4 every initializer was listed as an input too.
  const input = graph.input.filter(({ name }) => needed.has(name ?? '') && !constants.has(name));
  return {
    ...graph,
    node: nodes,
    initializer,
    input,
    valueInfo: graph.valueInfo.filter(({ name }) => needed.has(name ?? '')),
  };
}

/** Weights and statistics as inputs instead of initializers; normalizations whose statistics are carried, in training mode. */
function withCarriedInputs(graph: GraphProto, chosen: ChosenParameters): GraphProto {
  const carried = changing(chosen);
  const names = new Set(carried.map(({ name }) => name));
  const normalizations = new Map(chosen.statistics.map((one) => [one.node, one]));
  return {
    ...graph,
    initializer: graph.initializer.filter(({ name }) => !names.has(name)),
    input: [...graph.input, ...carried.map(({ name = '', dims }) => makeValue(name, FLOAT, dims))],
    node: graph.node.map((node) => {
      const found = normalizations.get(node);
      if (found === undefined) return node;
      const attribute = node.attribute.filter(({ name }) => name !== 'training_mode');
      return {
        ...node,
        output: [node.output[0] ?? '', nextOf(found.mean.name ?? ''), nextOf(found.variance.name ?? '')],
        attribute: [...attribute, makeAttribute('training_mode', 1n)],
      };
    }),
  };
}

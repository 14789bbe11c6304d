// Operator sets 11 to 15 as the oldest that gradients take. Only the step graph is upgraded: the trained weights go back into the graph as
// it was. Between those versions few operators changed what they compute, and most of those moved an attribute to an input (Operators.md
// and Changelog.md of ONNX): these are rewritten. What else changed, or is not known here, is refused with its name and what to do.
import { domainName, onnxOpset } from '@tidegate/shared/onnx/inspect-model.js';
import { makeAttribute, makeNode } from '@tidegate/shared/onnx/make-node.js';
import type { GraphProto, ModelProto, NodeProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import { OPSET_MIN } from '../gradients/differentiate.js';
import { inferShapes, type Shape } from '../gradients/infer-shapes.js';
import { StepGraphError } from './step-graph-error.js';
import { INT64 } from './step-nodes.js';

/** Resize, Clip, Pad and others took attributes before. */
const OPSET_UPGRADED_MIN = 11;

/** The attribute that became input 1 in operator set 13. */
const BECAME_INPUT: Readonly<Record<string, string>> = {
  ReduceSum: 'axes',
  Split: 'split',
  Squeeze: 'axes',
  Unsqueeze: 'axes',
};

/** Before 13 all axes from `axis` (1) on counted as one. */
const FLATTENED: ReadonlySet<string> = new Set(['Softmax', 'LogSoftmax', 'Hardmax']);
/** Their inner graphs hold operators of the old set. */
const CONTROL_FLOW: ReadonlySet<string> = new Set(['If', 'Loop', 'Scan']);

type GraphModel = ModelProto & { readonly graph: GraphProto };

/** Throws StepGraphError `old-graph`. */
export function upgradeOperators(model: GraphModel): GraphModel {
  const opset = onnxOpset(model);
  if (opset >= OPSET_MIN) return model;
  if (opset < OPSET_UPGRADED_MIN) throw tooOld(opset, `training needs ${OPSET_UPGRADED_MIN} or newer`);
  const { graph } = model;
  const state: Upgrade = { opset, shapes: inferShapes(graph), added: [] };
  const node = graph.node.flatMap((one) => (domainName(one.domain) === 'ai.onnx' ? upgraded(one, state) : [one]));
  const opsetImport = model.opsetImport.map((one) =>
    domainName(one.domain) === 'ai.onnx' ? { ...one, version: OPSET_MIN } : one,
  );
  return { ...model, opsetImport, graph: { ...graph, node, initializer: [...graph.initializer, ...state.added] } };
}

interface Upgrade {
  readonly opset: number;
  readonly shapes: ReadonlyMap<string, Shape>;
  /** Initializers that the new nodes read. */
  readonly added: TensorProto[];
}

function upgraded(node: NodeProto, state: Upgrade): readonly NodeProto[] {
  const { opset } = state;
  const op = node.opType ?? '';
  if (op === 'RoiAlign') throw changed(opset, node, 'counts its pixels otherwise');
  if (opset < 14 && op === 'BatchNormalization' && node.output.filter(Boolean).length > 1) {
    throw changed(opset, node, 'is in training mode, which has other outputs');
  }
  if (opset >= 13) return [node];
  if (CONTROL_FLOW.has(op)) throw changed(opset, node, 'holds graphs of its own');
  if (opset < 12 && op === 'Dropout') return [{ ...node, attribute: [] }];
  if (FLATTENED.has(op)) return flattened(node, state);
  const moved = BECAME_INPUT[op];
  const ints = node.attribute.find(({ name }) => name === moved)?.ints;
  if (moved === undefined || ints === undefined) return [node];
  const name = `step/upgraded/${node.output[0] ?? ''}`;
  state.added.push(makeTensor(name, INT64, [ints.length], bytesOf(ints)));
  const attribute = node.attribute.filter((one) => one.name !== moved);
  return [{ ...node, input: [node.input[0] ?? '', name], attribute }];
}

/** Over the last axis where that is what `axis` says; else over all from `axis` on, folded into one, as it was meant. */
function flattened(node: NodeProto, { shapes }: Upgrade): NodeProto[] {
  const [x = ''] = node.input;
  const axis = Number(node.attribute.find(({ name }) => name === 'axis')?.i ?? 1n);
  const last: NodeProto = { ...node, attribute: [makeAttribute('axis', -1n)] };
  if (axis === -1 || axis + 1 === shapes.get(x)?.length) return [last];
  const name = (part: string): string => `step/upgraded/${node.output[0] ?? ''}/${part}`;
  return [
    makeNode('Shape', [x], [name('shape')]),
    makeNode('Flatten', [x], [name('folded')], { attributes: { axis: BigInt(axis) } }),
    { ...last, input: [name('folded')], output: [name('answer')] },
    makeNode('Reshape', [name('answer'), name('shape')], [...node.output]),
  ];
}

function changed(opset: number, { name, output, opType = '' }: NodeProto, how: string): StepGraphError {
  return tooOld(opset, `its node ${name || (output[0] ?? '')} (${opType}) ${how} since`);
}

function tooOld(opset: number, why: string): StepGraphError {
  const way = 'export the model again with operator set 17 (torch.onnx.export: opset_version=17)';
  return new StepGraphError('old-graph', `the graph has operator set ${opset}: ${why}; ${way}`);
}

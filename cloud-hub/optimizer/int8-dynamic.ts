// Dynamic int8: weights and activations of MatMul and Gemm as 8-bit integers, the activations' range taken from each input as
// it comes. No calibration data are needed.
//   1. Layers as linear-layers.ts finds them; weights U8, asymmetric, per output channel.
//   2. a -> DynamicQuantizeLinear (once for each value, however many layers read it) -> MatMulInteger -> Cast -> times both
//      scales. The engine fuses that into one kernel, because it is the form that its own tools write.
//   3. Below opset 11 there is no DynamicQuantizeLinear, and raising the opset would change what other operators mean: there
//      com.microsoft.DynamicQuantizeMatMul does the same in one node.
//   4. Bias as a following Add.
// Refuses when no layer is found.
import { makeNode } from '@tidegate/shared/onnx/make-node.js';
import type { ModelProto, NodeProto } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import { GraphEdit } from './graph-edit.js';
import { notApplicable, type GraphPass, type PassResult } from './graph-pass.js';
import {
  addBias,
  findLinearLayers,
  nothingToQuantize,
  releasedBy,
  summaryOf,
  type LinearLayer,
} from './linear-layers.js';
import { quantizePerChannel } from './quantize-weights.js';

const FLOAT = 1;
const UINT8 = 2;
/** Since when ONNX has DynamicQuantizeLinear. */
const OPSET_DYNAMIC_QUANTIZE = 11;

interface QuantizedNames {
  readonly weights: string;
  readonly scales: string;
  readonly zeroPoints: string;
}

interface QuantizedInput {
  readonly value: string;
  readonly scale: string;
  readonly zeroPoint: string;
}

export const int8Dynamic: GraphPass = {
  variant: 'int8-dynamic',
  apply: (model: ModelProto): PassResult => {
    const edit = new GraphEdit(model);
    const found = findLinearLayers(edit);
    const reason = nothingToQuantize(found);
    if (reason !== undefined) return notApplicable(reason);
    const standard = edit.opset >= OPSET_DYNAMIC_QUANTIZE;
    const weights = new Map<string, QuantizedNames>();
    const inputs = new Map<string, QuantizedInput>();
    for (const layer of found.layers) {
      const names = quantizedWeights(layer, edit, weights);
      const nodes = standard ? standardNodes(layer, names, edit, inputs) : contribNodes(layer, names, edit);
      edit.replace(layer.node, nodes, releasedBy(layer));
    }
    const model8 = edit.finish(standard ? {} : { 'com.microsoft': 1 });
    return { outcome: 'changed', model: model8, summary: summaryOf(found) };
  },
};

function quantizedWeights(layer: LinearLayer, edit: GraphEdit, known: Map<string, QuantizedNames>): QuantizedNames {
  const shared = known.get(layer.weightsKey);
  if (shared !== undefined) return shared;
  const { k, n } = layer.weights;
  const { quantized, scales, zeroPoints } = quantizePerChannel(layer.weights);
  const names = {
    weights: edit.freshName(`${layer.weightsName}_u8`),
    scales: edit.freshName(`${layer.weightsName}_scales`),
    zeroPoints: edit.freshName(`${layer.weightsName}_zero_points`),
  };
  edit.addInitializer(makeTensor(names.weights, UINT8, [k, n], quantized));
  edit.addInitializer(makeTensor(names.scales, FLOAT, [n], bytesOf(scales)));
  edit.addInitializer(makeTensor(names.zeroPoints, UINT8, [n], zeroPoints));
  known.set(layer.weightsKey, names);
  return names;
}

function standardNodes(
  layer: LinearLayer,
  weights: QuantizedNames,
  edit: GraphEdit,
  inputs: Map<string, QuantizedInput>,
): NodeProto[] {
  const nodes: NodeProto[] = [];
  const output = layer.node.output[0] ?? '';
  const fresh = (suffix: string): string => edit.freshName(`${output}_${suffix}`);
  let input = inputs.get(layer.a);
  if (input === undefined) {
    const name = (suffix: string): string => edit.freshName(`${layer.a}_${suffix}`);
    input = { value: name('u8'), scale: name('scale'), zeroPoint: name('zero_point') };
    inputs.set(layer.a, input);
    const made = [input.value, input.scale, input.zeroPoint];
    nodes.push(makeNode('DynamicQuantizeLinear', [layer.a], made, { name: name('quantize') }));
  }
  const [sums, sumsFloat, scales] = [fresh('sums'), fresh('sums_float'), fresh('scales')];
  const product = layer.bias === undefined ? output : fresh('product');
  nodes.push(
    makeNode('MatMulInteger', [input.value, weights.weights, input.zeroPoint, weights.zeroPoints], [sums], {
      name: fresh('matmul'),
    }),
    makeNode('Cast', [sums], [sumsFloat], { name: fresh('cast'), attributes: { to: BigInt(FLOAT) } }),
    makeNode('Mul', [input.scale, weights.scales], [scales], { name: fresh('mul_scales') }),
    makeNode('Mul', [sumsFloat, scales], [product], { name: fresh('rescale') }),
    ...addBias(layer, product, edit),
  );
  return nodes;
}

function contribNodes(layer: LinearLayer, weights: QuantizedNames, edit: GraphEdit): NodeProto[] {
  const output = layer.node.output[0] ?? '';
  const product = layer.bias === undefined ? output : edit.freshName(`${output}_product`);
  const inputs = [layer.a, weights.weights, weights.scales, weights.zeroPoints];
  const name = edit.freshName(`${output}_matmul`);
  return [
    makeNode('DynamicQuantizeMatMul', inputs, [product], { name, domain: 'com.microsoft' }),
    ...addBias(layer, product, edit),
  ];
}

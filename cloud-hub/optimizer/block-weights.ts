// What int8-weights and int4-weights have in common: MatMul and Gemm become com.microsoft.MatMulNBits, whose weights are stored in
// blocks of few bits while activations stay FP32 (the kernel quantizes them block by block: accuracy level 4).
//   1. Layers as linear-layers.ts finds them.
//   2. Weights [n, blocks, block bytes], scales [n, blocks], packed uint8 zero points or none. Never float zero points: those
//      are not pre-packed and slow by a factor of seven.
//   3. A tensor that several layers share is quantized once. Bias as a following Add.
// Refuses when no layer is found.
import { makeNode } from '@tidegate/shared/onnx/make-node.js';
import type { ModelProto } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import { GraphEdit } from './graph-edit.js';
import { notApplicable, type PassResult } from './graph-pass.js';
import {
  addBias,
  findLinearLayers,
  nothingToQuantize,
  releasedBy,
  summaryOf,
  type LinearLayer,
  type Matrix,
} from './linear-layers.js';
import type { BlockWeights } from './quantize-weights.js';

const FLOAT = 1;
const UINT8 = 2;
const BLOCK_SIZE = 32;
/** Integer arithmetic in the product; level 0 would compute in FP32 and gain only size. */
const ACCURACY_LEVEL = 4n;

interface BlockFormat {
  readonly bits: 4 | 8;
  readonly quantize: (weights: Matrix, blockSize: number) => BlockWeights;
}

export function toBlockWeights(model: ModelProto, format: BlockFormat): PassResult {
  const edit = new GraphEdit(model);
  const found = findLinearLayers(edit);
  const reason = nothingToQuantize(found);
  if (reason !== undefined) return notApplicable(reason);
  const known = new Map<string, readonly string[]>();
  for (const layer of found.layers) {
    const { k, n } = layer.weights;
    const output = layer.node.output[0] ?? '';
    const product = layer.bias === undefined ? output : edit.freshName(`${output}_product`);
    const matMul = makeNode('MatMulNBits', [layer.a, ...blockTensors(layer, format, edit, known)], [product], {
      name: edit.freshName(`${output}_matmul`),
      domain: 'com.microsoft',
      attributes: {
        K: BigInt(k),
        N: BigInt(n),
        bits: BigInt(format.bits),
        block_size: BigInt(BLOCK_SIZE),
        accuracy_level: ACCURACY_LEVEL,
      },
    });
    edit.replace(layer.node, [matMul, ...addBias(layer, product, edit)], releasedBy(layer));
  }
  return { outcome: 'changed', model: edit.finish({ 'com.microsoft': 1 }), summary: summaryOf(found) };
}

/** Names of the weights, scales and, where the format has them, zero points. */
function blockTensors(
  layer: LinearLayer,
  { bits, quantize }: BlockFormat,
  edit: GraphEdit,
  known: Map<string, readonly string[]>,
): readonly string[] {
  const shared = known.get(layer.weightsKey);
  if (shared !== undefined) return shared;
  const { k, n } = layer.weights;
  const blocks = Math.ceil(k / BLOCK_SIZE);
  const { quantized, scales, zeroPoints } = quantize(layer.weights, BLOCK_SIZE);
  const add = (suffix: string, dataType: number, dims: readonly number[], bytes: Uint8Array): string => {
    const name = edit.freshName(`${layer.weightsName}_${suffix}`);
    edit.addInitializer(makeTensor(name, dataType, dims, bytes));
    return name;
  };
  const names = [
    add(`q${bits}`, UINT8, [n, blocks, (BLOCK_SIZE * bits) / 8], quantized),
    add('scales', FLOAT, [n, blocks], bytesOf(scales)),
    ...(zeroPoints === undefined ? [] : [add('zero_points', UINT8, [n, Math.ceil((blocks * bits) / 8)], zeroPoints)]),
  ];
  known.set(layer.weightsKey, names);
  return names;
}

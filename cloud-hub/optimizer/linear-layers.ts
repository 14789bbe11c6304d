// Finds the layers that quantization is for, MatMul and Gemm with constant FP32 weights, and brings both to one form:
// y = a x W (+ bias), W as [k, n]. What a layer needs around the product is said by `tail`.
//   1. The weights are the second input, constant, FP32, of rank 2, finite, and at least `leastWeights` in number: a smaller
//      layer spends more on quantizing its input than it saves.
//   2. Gemm: alpha is multiplied into the weights, beta into a constant bias (a bias that is not constant keeps its own Mul);
//      transB only changes how the weights are read. transA is left alone (rule of thumb: exporters never write it).
import { domainName } from '@tidegate/shared/onnx/inspect-model.js';
import { makeNode } from '@tidegate/shared/onnx/make-node.js';
import type { NodeProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { floatsOf, makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import type { GraphEdit } from './graph-edit.js';

const FLOAT = 1;

/** Layers with fewer weights stay as they are. */
const LEAST_WEIGHTS = 1024;

export interface LinearLayer {
  readonly node: NodeProto;
  /** The value that is multiplied. */
  readonly a: string;
  readonly weights: Matrix;
  /** Equal keys: the same weights read in the same way, so that a shared tensor is quantized once. */
  readonly weightsKey: string;
  readonly weightsName: string;
  /** The bias of a Gemm; beta is still to be applied. */
  readonly bias: { readonly name: string; readonly beta: number } | undefined;
}

/** Row-major or column-major view of constant weights, multiplied by `scale`. */
export interface Matrix {
  readonly k: number;
  readonly n: number;
  /** Element (row i of k, column j of n) is values[i * strideK + j * strideN] * scale. */
  readonly values: Float32Array;
  readonly strideK: number;
  readonly strideN: number;
  readonly scale: number;
}

interface LinearLayers {
  readonly layers: readonly LinearLayer[];
  /** MatMul and Gemm nodes in all. */
  readonly candidates: number;
  /** Why the others were left out -> how many. */
  readonly skipped: ReadonlyMap<string, number>;
}

export function findLinearLayers(edit: GraphEdit): LinearLayers {
  const layers: LinearLayer[] = [];
  const skipped = new Map<string, number>();
  let candidates = 0;
  for (const node of edit.graph.node) {
    if (domainName(node.domain) !== 'ai.onnx' || (node.opType !== 'MatMul' && node.opType !== 'Gemm')) continue;
    candidates += 1;
    const layer = linearLayer(node, edit);
    if (typeof layer === 'string') skipped.set(layer, (skipped.get(layer) ?? 0) + 1);
    else layers.push(layer);
  }
  return { layers, candidates, skipped };
}

/** `2 of 13 MatMul and Gemm (6 without constant weights, 5 ...)`. */
export function summaryOf({ layers, candidates, skipped }: LinearLayers): string {
  const rest = [...skipped].map(([reason, count]) => `${count} ${reason}`).join(', ');
  return `${layers.length} of ${candidates} MatMul and Gemm${rest === '' ? '' : ` (${rest})`}`;
}

/** Why nothing can be done; undefined where there is a layer. */
export function nothingToQuantize(found: LinearLayers): string | undefined {
  if (found.layers.length > 0) return undefined;
  if (found.candidates === 0) return 'no MatMul or Gemm to quantize';
  return `nothing to quantize: ${summaryOf(found)}`;
}

function linearLayer(node: NodeProto, edit: GraphEdit): LinearLayer | string {
  const [a, weightsName, biasName] = node.input;
  const tensor = edit.constant(weightsName);
  if (!a || !weightsName || tensor === undefined) return 'without constant weights';
  if (edit.constant(a) !== undefined) return 'with constants only';
  if (tensor.dataType !== FLOAT) return 'not FP32';
  if (tensor.dims.length !== 2) return 'with weights of a rank other than 2';
  const [rows = 0, columns = 0] = tensor.dims;
  if (rows * columns < LEAST_WEIGHTS) return `with fewer than ${LEAST_WEIGHTS} weights`;
  if (node.opType === 'Gemm' && integer(node, 'transA') !== 0) return 'with transA';
  const values = floatsOf(tensor, `weights ${weightsName}`);
  if (!values.every(Number.isFinite)) return 'with weights that are not finite';
  const transB = node.opType === 'Gemm' && integer(node, 'transB') !== 0;
  const scale = node.opType === 'Gemm' ? float(node, 'alpha', 1) : 1;
  const weights = transB
    ? { k: columns, n: rows, values, strideK: 1, strideN: columns, scale }
    : { k: rows, n: columns, values, strideK: columns, strideN: 1, scale };
  const beta = float(node, 'beta', 1);
  const bias = node.opType === 'Gemm' && biasName && beta !== 0 ? { name: biasName, beta } : undefined;
  return { node, a, weights, weightsKey: `${weightsName}|${transB}|${scale}`, weightsName, bias };
}

function integer(node: NodeProto, name: string): number {
  return Number(node.attribute.find((attribute) => attribute.name === name)?.i ?? 0n);
}

function float(node: NodeProto, name: string, otherwise: number): number {
  return node.attribute.find((attribute) => attribute.name === name)?.f ?? otherwise;
}

/** Makes the product, named `product`, into the layer's output: adds beta * bias. The nodes come after the product's own. */
export function addBias(layer: LinearLayer, product: string, edit: GraphEdit): NodeProto[] {
  if (layer.bias === undefined) return [];
  const [output = ''] = layer.node.output;
  const { name, beta } = layer.bias;
  if (beta === 1) return [makeNode('Add', [product, name], [output], { name: edit.freshName(`${output}_add_bias`) })];
  const scaled = edit.freshName(`${name}_scaled`);
  const constant = edit.constant(name);
  const add = makeNode('Add', [product, scaled], [output], { name: edit.freshName(`${output}_add_bias`) });
  if (constant !== undefined && constant.dataType === FLOAT) {
    edit.addInitializer(scaledTensor(constant, scaled, beta));
    return [add];
  }
  const factor = edit.freshName(`${name}_beta`);
  edit.addInitializer(makeTensor(factor, FLOAT, [], bytesOf(Float32Array.of(beta))));
  return [makeNode('Mul', [name, factor], [scaled], { name: edit.freshName(`${output}_scale_bias`) }), add];
}

function scaledTensor(tensor: TensorProto, name: string, beta: number): TensorProto {
  const values = floatsOf(tensor, `bias ${name}`).map((value) => value * beta);
  return makeTensor(name, FLOAT, tensor.dims, bytesOf(values));
}

/** Constants that the replaced node read and that may be dropped with it. */
export function releasedBy(layer: LinearLayer): string[] {
  return layer.node.input.slice(1).filter((name) => name !== '');
}

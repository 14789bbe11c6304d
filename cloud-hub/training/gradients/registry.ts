// Which operators have a gradient. Mean squared error is Sub, Mul and ReduceMean.
import { logSoftmax, softmax, softmaxCrossEntropyLoss } from './classification.js';
import { conv, convTranspose } from './convolution.js';
import * as elementwise from './elementwise.js';
import type { GradientRule } from './gradient-rule.js';
import { gemm, matMul } from './matrix.js';
import * as activation from './activation.js';
import { einsum } from './einsum.js';
import { extremum, globalMaxPool, reduceExtremum } from './extremum.js';
import * as movement from './movement.js';
import { batchNormalization, instanceNormalization, layerNormalization } from './normalization.js';
import { averagePool, globalAveragePool, maxPool } from './pooling.js';
import * as reduction from './reduction.js';
import { resize } from './resize.js';
import * as selection from './selection.js';

/** By operator; ONNX's own unless the domain stands before it. */
export const GRADIENT_RULES: Readonly<Record<string, GradientRule>> = Object.freeze({
  __proto__: null as never,
  Abs: elementwise.abs,
  Add: elementwise.add,
  AveragePool: averagePool,
  BatchNormalization: batchNormalization,
  Cast: selection.cast,
  Celu: activation.celu,
  Clip: elementwise.clip,
  Concat: movement.concat,
  Conv: conv,
  ConvTranspose: convTranspose,
  Cos: elementwise.cos,
  CumSum: movement.cumSum,
  DepthToSpace: movement.depthToSpace,
  Div: elementwise.div,
  Dropout: selection.dropout,
  Einsum: einsum,
  Elu: activation.elu,
  Erf: elementwise.erf,
  Exp: elementwise.exp,
  Expand: movement.expand,
  Flatten: movement.reshape,
  Gather: movement.gather,
  GatherElements: movement.gather,
  GatherND: movement.gatherNd,
  Gelu: activation.gelu,
  'com.microsoft.Gelu': activation.gelu,
  Gemm: gemm,
  GlobalAveragePool: globalAveragePool,
  GlobalMaxPool: globalMaxPool,
  HardSigmoid: activation.hardSigmoid,
  HardSwish: activation.hardSwish,
  Identity: movement.reshape,
  InstanceNormalization: instanceNormalization,
  LayerNormalization: layerNormalization,
  LeakyRelu: activation.leakyRelu,
  Log: elementwise.log,
  LogSoftmax: logSoftmax,
  MatMul: matMul,
  Max: extremum,
  MaxPool: maxPool,
  Min: extremum,
  Mish: activation.mish,
  Mul: elementwise.mul,
  Neg: elementwise.neg,
  Pad: movement.pad,
  Pow: elementwise.pow,
  PRelu: activation.pRelu,
  Reciprocal: elementwise.reciprocal,
  ReduceL1: reduction.reduceL1,
  ReduceL2: reduction.reduceL2,
  ReduceLogSumExp: reduction.reduceLogSumExp,
  ReduceMax: reduceExtremum,
  ReduceMean: reduction.reduceMean,
  ReduceMin: reduceExtremum,
  ReduceSum: reduction.reduceSum,
  ReduceSumSquare: reduction.reduceSumSquare,
  Relu: activation.relu,
  Reshape: movement.reshape,
  Resize: resize,
  Selu: activation.selu,
  Sigmoid: activation.sigmoid,
  Sin: elementwise.sin,
  Slice: movement.slice,
  Softmax: softmax,
  SoftmaxCrossEntropyLoss: softmaxCrossEntropyLoss,
  Softplus: activation.softplus,
  Softsign: activation.softsign,
  SpaceToDepth: movement.spaceToDepth,
  Split: movement.split,
  Sqrt: elementwise.sqrt,
  Squeeze: movement.reshape,
  Sub: elementwise.sub,
  Sum: elementwise.sum,
  Tanh: activation.tanh,
  Tile: movement.slice,
  Transpose: movement.transpose,
  Trilu: movement.trilu,
  Unsqueeze: movement.reshape,
  Where: selection.where,
});

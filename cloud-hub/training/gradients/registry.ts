// Which operators have a gradient. Mean squared error is Sub, Mul and ReduceMean.
import { logSoftmax, softmax, softmaxCrossEntropyLoss } from './classification.js';
import { conv } from './convolution.js';
import * as elementwise from './elementwise.js';
import type { GradientRule } from './gradient-rule.js';
import { gemm, matMul } from './matrix.js';
import { concat, gather, reshape, slice, transpose } from './movement.js';
import { batchNormalization, layerNormalization } from './normalization.js';
import { averagePool, globalAveragePool, maxPool } from './pooling.js';
import { reduceMean, reduceSum } from './reduction.js';

/** By operator; ONNX's own unless the domain stands before it. */
export const GRADIENT_RULES: Readonly<Record<string, GradientRule>> = Object.freeze({
  __proto__: null as never,
  Add: elementwise.add,
  AveragePool: averagePool,
  BatchNormalization: batchNormalization,
  Clip: elementwise.clip,
  Concat: concat,
  Conv: conv,
  Div: elementwise.div,
  Erf: elementwise.erf,
  Exp: elementwise.exp,
  Flatten: reshape,
  Gather: gather,
  Gelu: elementwise.gelu,
  'com.microsoft.Gelu': elementwise.gelu,
  Gemm: gemm,
  GlobalAveragePool: globalAveragePool,
  HardSigmoid: elementwise.hardSigmoid,
  HardSwish: elementwise.hardSwish,
  Identity: reshape,
  LayerNormalization: layerNormalization,
  LeakyRelu: elementwise.leakyRelu,
  Log: elementwise.log,
  LogSoftmax: logSoftmax,
  MatMul: matMul,
  MaxPool: maxPool,
  Mul: elementwise.mul,
  Neg: elementwise.neg,
  Pow: elementwise.pow,
  ReduceMean: reduceMean,
  ReduceSum: reduceSum,
  Relu: elementwise.relu,
  Reshape: reshape,
  Sigmoid: elementwise.sigmoid,
  Slice: slice,
  Softmax: softmax,
  SoftmaxCrossEntropyLoss: softmaxCrossEntropyLoss,
  Sqrt: elementwise.sqrt,
  Squeeze: reshape,
  Sub: elementwise.sub,
  Sum: elementwise.sum,
  Tanh: elementwise.tanh,
  Transpose: transpose,
  Unsqueeze: reshape,
});

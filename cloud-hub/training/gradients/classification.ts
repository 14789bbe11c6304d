// Softmax and its losses. Softmax: dX = y (dY - sum(dY y)). Cross-entropy over softmax: d scores = (softmax - one-hot) times the
// sample's weight, divided by the sum of the weights where the loss is a mean; ignored labels weigh nothing.
import type { GradientBuilder } from './gradient-builder.js';
import type { GradientRule, RuleNode } from './gradient-rule.js';

export const softmax: GradientRule = {
  backward: (b, n, dY) => {
    const axis = b.ints(n.int('axis', -1));
    return [b.mul(n.y(), b.sub(dY, b.sum(b.mul(dY, n.y()), axis)))];
  },
};

/** dX = dY - exp(y) sum(dY) */
export const logSoftmax: GradientRule = {
  backward: (b, n, dY) => {
    const axis = b.ints(n.int('axis', -1));
    return [b.sub(dY, b.mul(b.op('Exp', [n.y()]), b.sum(dY, axis)))];
  },
};

/** scores [N, C, ...], labels [N, ...] INT64 or INT32, class weights [C] if given. */
export const softmaxCrossEntropyLoss: GradientRule = {
  check: (n) => {
    if (n.wants(2)) n.refuse('trained class weights');
    if (n.y(1) !== '') n.refuse('its log-probabilities as an output');
  },
  backward: (b, n, dY) => {
    const scores = n.x(0);
    const labels = b.op('Cast', [n.x(1)], { to: 7n });
    const depth = b.op('Gather', [b.shape(scores), b.ints(1)], { axis: 0n });
    const values = b.op('Concat', [b.float(0, [1]), b.float(1, [1])], { axis: 0n });
    const { safe, scale } = weighed(b, n, labels);
    const truth = b.op('OneHot', [safe, depth, values], { axis: 1n });
    const error = b.sub(b.op('Softmax', [scores], { axis: 1n }), truth);
    // One number for all samples needs no axis for the classes.
    const each = scale.isScalar && n.string('reduction', 'mean') !== 'none';
    const factor = b.mul(scale.value, dY);
    return [b.mul(error, each ? factor : b.op('Unsqueeze', [factor, b.ints(1)]))];
  },
};

interface Weighed {
  /** Labels with an ignored one replaced by a class that exists. */
  readonly safe: string;
  /** What each sample's error is multiplied by, but for dY: in the labels' shape, or a scalar. */
  readonly scale: { readonly value: string; readonly isScalar: boolean };
}

function weighed(b: GradientBuilder, n: RuleNode, labels: string): Weighed {
  const isMean = n.string('reduction', 'mean') === 'mean';
  const ignore = n.int('ignore_index', Number.NaN);
  if (Number.isNaN(ignore) && !n.has(2)) {
    const value = isMean ? b.div(b.float(1), b.cast(b.op('Size', [labels]))) : b.float(1);
    return { safe: labels, scale: { value, isScalar: true } };
  }
  const counts = b.op('Not', [b.op('Equal', [labels, b.int(Number.isNaN(ignore) ? -(2 ** 53 - 1) : ignore)])]);
  const safe = b.op('Where', [counts, labels, b.int(0)]);
  const one = b.cast(counts);
  const weight = n.has(2) ? b.mul(one, b.op('Gather', [n.x(2), safe], { axis: 0n })) : one;
  const value = isMean ? b.div(weight, b.op('ReduceSum', [weight], { keepdims: 0n })) : weight;
  return { safe, scale: { value, isScalar: false } };
}

// Softmax and its losses. Softmax: dX = y (dY - sum(dY y)). Cross-entropy over softmax: d scores = (softmax - one-hot) times the
// sample's weight, divided by the sum of the weights where the loss is a mean; ignored labels weigh nothing.
import type { GradientRule } from './gradient-rule.js';

export const softmax: GradientRule = {
  backward: (b, n, dY) => {
    const axis = b.ints(n.int('axis', -1));
    return [b.mul(n.y(), b.sub(dY, b.sum(b.mul(dY, n.y()), axis)))];
  },
};

/** scores [N, C, ...], labels [N, ...] INT64 or INT32, class weights [C] if given. */
export const softmaxCrossEntropyLoss: GradientRule = {
  check: (n) => {
    if (n.wants(2)) n.refuse('trained class weights');
    if (n.y(1) !== '') n.refuse('its log-probabilities as an output');
  },
  backward: (b, n, dY) => {
    const [scores, reduction] = [n.x(0), n.string('reduction', 'mean')];
    const labels = b.op('Cast', [n.x(1)], { to: 7n });
    const ignore = n.int('ignore_index', Number.NaN);
    const counts = b.op('Not', [b.op('Equal', [labels, b.int(Number.isNaN(ignore) ? -(2 ** 53 - 1) : ignore)])]);
    const safe = b.op('Where', [counts, labels, b.int(0)]);
    const one = b.cast(counts);
    const weight = n.has(2) ? b.mul(one, b.op('Gather', [n.x(2), safe], { axis: 0n })) : one;
    const depth = b.op('Gather', [b.shape(scores), b.ints(1)], { axis: 0n });
    const values = b.op('Concat', [b.float(0, [1]), b.float(1, [1])], { axis: 0n });
    const truth = b.op('OneHot', [safe, depth, values], { axis: 1n });
    const error = b.sub(b.op('Softmax', [scores], { axis: 1n }), truth);
    const scale = reduction === 'mean' ? b.div(weight, b.op('ReduceSum', [weight], { keepdims: 0n })) : weight;
    return [b.mul(error, b.op('Unsqueeze', [b.mul(scale, dY), b.ints(1)]))];
  },
};

// Pooling. MaxPool gives dY to the element that won (its Indices output); averages spread dY evenly over their window.
import type { GradientBuilder } from './gradient-builder.js';
import type { GradientRule, RuleNode } from './gradient-rule.js';
import { big, spread, windowOf, withStaticPads, type Window } from './window.js';

export const maxPool: GradientRule = {
  check: (n) => {
    if (n.int('storage_order', 0) !== 0) n.refuse('column-major indices');
  },
  forward: (b, n) => ({ ...n.node, output: [n.y(), n.y(1) || b.name('indices')] }),
  backward: (b, n, dY) => {
    const kernel = n.ints('kernel_shape') ?? [];
    const strides = n.ints('strides') ?? kernel.map(() => 1);
    const dilations = n.ints('dilations') ?? kernel.map(() => 1);
    const overlaps = kernel.some((k, i) => (k - 1) * (dilations[i] ?? 1) >= (strides[i] ?? 1));
    if (overlaps) return [b.scatterAdd(dY, n.y(1), n.x(0))];
    // No element wins twice, so nothing is added up: MaxUnpool puts each where it came from. The engine goes by indices and shape;
    // the window would only be checked against the shape, and a window that hangs over the edge would fail there.
    const one = kernel.map(() => 1n);
    return [b.op('MaxUnpool', [dY, n.y(1), b.shape(n.x(0))], { kernel_shape: one, strides: one })];
  },
};

/** Each element of dY over the number of elements that its window counts, spread over the window. */
export const averagePool: GradientRule = {
  check: (n) => {
    if (n.ints('kernel_shape') === undefined) n.refuse('no kernel_shape');
  },
  backward: (b, n, dY) => {
    const kernel = n.ints('kernel_shape') ?? [];
    const w = windowOf(b, n, kernel.length, kernel);
    const alone = (value: string): string =>
      b.op('Reshape', [value, b.op('Concat', [b.ints(-1, 1), b.spatial(value)], { axis: 0n })]);
    const image = alone(n.x(0));
    const window = b.float(1, [1, 1, ...kernel]);
    const share = b.div(alone(dY), counted(b, n, w, window));
    return [b.reshapeLike(spread(b, share, window, image, w, 1), n.x(0))];
  },
};

/** Elements that each window counts: a scalar where that is all of them, else [1, 1, ...spatial axes of Y]. */
function counted(b: GradientBuilder, n: RuleNode, w: Window, window: string): string {
  const kernel = n.ints('kernel_shape') ?? [];
  const isCeil = n.int('ceil_mode', 0) === 1;
  const isPadded = 'begin' in w.pads || w.pads.some((p) => p > 0);
  const countsPads = n.int('count_include_pad', 0) === 1;
  if (!isCeil && (!isPadded || countsPads)) return b.float(kernel.reduce((product, k) => product * k, 1));
  const shape = b.op('Concat', [b.ints(1, 1), b.spatial(n.x(0))], { axis: 0n });
  const inside = withStaticPads(b, b.op('Expand', [b.float(1), shape]), w);
  let { image, pads } = inside;
  if (countsPads) {
    const around = pads.flatMap((p, i) => (i % w.rank === 0 ? [0, 0, p] : [p]));
    image = b.op('Pad', [image, b.ints(...around), b.float(1)]);
    pads = pads.map(() => 0);
  }
  // ceil((size - kernel) / stride) = floor((size + stride - 1 - kernel) / stride), less a window that would begin outside.
  if (isCeil) pads = pads.map((p, i) => (i < w.rank ? p : p + (w.strides[i - w.rank] ?? 1) - 1));
  const attributes = { strides: big(w.strides), dilations: big(w.dilations), pads: big(pads) };
  const counts = b.op('Conv', [image, window], attributes);
  if (!isCeil) return counts;
  const axes = b.ints(...kernel.map((_, i) => i + 2));
  return b.op('Slice', [counts, b.ints(...kernel.map(() => 0)), b.spatial(n.y()), axes]);
}

export const globalAveragePool: GradientRule = {
  backward: (b, n, dY) => [b.op('Expand', [b.div(dY, b.ratio(n.x(0), n.y())), b.shape(n.x(0))])],
};

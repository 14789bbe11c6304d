// Pooling. MaxPool gives dY to the element that won (its Indices output); averages spread dY evenly over their window.
import type { GradientBuilder } from './gradient-builder.js';
import type { GradientRule, RuleNode } from './gradient-rule.js';
import { big, spread, windowOf, withStaticPads, type Window } from './window.js';

/** The engine has MaxUnpool and Resize for FLOAT alone. */
const FLOAT = 1;

/** The engine's pool with indices is 10 times as slow as without: where the windows tile the image, the winners are found again. */
export const maxPool: GradientRule = {
  check: (n) => {
    if (n.int('storage_order', 0) !== 0) n.refuse('column-major indices');
  },
  forward: (b, n) => (tiles(b, n) === undefined ? { ...n.node, output: [n.y(), n.y(1) || b.name('indices')] } : n.node),
  backward: (b, n, dY) => {
    const tile = tiles(b, n);
    if (tile !== undefined) return [toFirstWinner(b, n, dY, tile)];
    const kernel = n.ints('kernel_shape') ?? [];
    const strides = n.ints('strides') ?? kernel.map(() => 1);
    const dilations = n.ints('dilations') ?? kernel.map(() => 1);
    const isFloat = b.floatType === FLOAT;
    const overlaps = kernel.some((k, i) => (k - 1) * (dilations[i] ?? 1) >= (strides[i] ?? 1));
    if (overlaps || !isFloat) return [b.scatterAdd(dY, n.y(1), n.x(0))];
    // No element wins twice, so nothing is added up: MaxUnpool puts each where it came from. The engine goes by indices and shape;
    // the window would only be checked against the shape, and a window that hangs over the edge would fail there.
    const one = kernel.map(() => 1n);
    return [b.op('MaxUnpool', [dY, n.y(1), b.shape(n.x(0))], { kernel_shape: one, strides: one })];
  },
};

/** The window's sizes where windows lie side by side and fill the image, as far as its sizes are known. */
function tiles(b: GradientBuilder, n: RuleNode): readonly number[] | undefined {
  const [kernel, size] = [n.ints('kernel_shape'), b.spatialSizes(n.x(0))];
  if (b.floatType !== FLOAT || kernel === undefined || size?.length !== kernel.length || n.y(1) !== '')
    return undefined;
  const strides = n.ints('strides') ?? kernel.map(() => 1);
  const isPlain = ['pads', 'dilations'].every(
    (name) => n.ints(name)?.every((v) => v === (name === 'pads' ? 0 : 1)) ?? true,
  );
  const fills = kernel.every((k, i) => k === strides[i] && (size[i] ?? 0) % k === 0);
  return isPlain && fills ? kernel : undefined;
}

/**
 * dY where X equals its window's maximum. Of several, the first counts, as in the engine's indices: those that are equal get their
 * place in the window, counted down, and the largest of these wins.
 */
function toFirstWinner(b: GradientBuilder, n: RuleNode, dY: string, tile: readonly number[]): string {
  const x = n.x(0);
  const spread = (value: string): string =>
    b.op('Resize', [value, '', '', b.shape(x)], {
      mode: 'nearest',
      coordinate_transformation_mode: 'asymmetric',
      nearest_mode: 'floor',
    });
  const one = b.filled(b.op('Concat', [b.ints(1, 1), b.spatial(n.y())], { axis: 0n }), 1);
  const places = b.op('ConvTranspose', [one, b.countdown([1, 1, ...tile])], { strides: big(tile) });
  const equal = b.mul(b.cast(b.op('Equal', [x, spread(n.y())])), places);
  const largest = b.op('MaxPool', [equal], { kernel_shape: big(tile), strides: big(tile) });
  return b.mul(b.cast(b.op('Equal', [equal, spread(largest)])), spread(dY));
}

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
    const window = b.float(1, [1, 1, ...kernel]);
    const share = b.div(alone(dY), counted(b, n, w, window));
    return [b.reshapeLike(spread(b, share, window, n, w, 1), n.x(0))];
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

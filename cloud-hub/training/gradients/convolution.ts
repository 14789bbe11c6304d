// Convolution. dX spreads dY through the transposed kernel; dW correlates X with dY. Which graph computes them is chosen by measured
// time (docs/performance.md, Training): all forms give the same sums.
import type { GradientBuilder } from './gradient-builder.js';
import type { GradientRule, RuleNode } from './gradient-rule.js';
import { big, spread, windowOf, withStaticPads, type Window } from './window.js';

interface Convolution {
  readonly b: GradientBuilder;
  readonly n: RuleNode;
  readonly dY: string;
  readonly w: Window;
  readonly group: number;
  /** Dimensions of W, [M, C / group, k...]; undefined where the graph does not declare them. */
  readonly kernel: readonly number[] | undefined;
}

export const conv: GradientRule = {
  backward: (b, n, dY) => {
    const c: Convolution = { b, n, dY, w: kernelWindow(b, n), group: n.int('group', 1), kernel: b.sizes(n.x(1)) };
    return [
      n.wants(0) ? imageGradient(c) : undefined,
      n.wants(1) ? kernelGradient(c) : undefined,
      n.wants(2) ? biasGradient(b, dY, c.w) : undefined,
    ];
  },
};

/**
 * The transposed convolution is the gradient of a convolution from Y to X by the same W [C, M / group, k...]: dX is that convolution of
 * dY, and dW its kernel's gradient with X in the place of dY.
 */
export const convTranspose: GradientRule = {
  check: (n) => {
    if (n.ints('output_shape') !== undefined) n.refuse('a stated output_shape');
    if (n.string('auto_pad', 'NOTSET').startsWith('SAME')) n.refuse('auto_pad');
  },
  backward: (b, n, dY) => {
    const back = n.as({ ...n.node, opType: 'Conv', input: [dY, n.x(1)], output: [n.x(0)] });
    const w = kernelWindow(b, back);
    const group = n.int('group', 1);
    const c: Convolution = { b, n: back, dY: n.x(0), w, group, kernel: b.sizes(n.x(1)) };
    const pads = 'begin' in w.pads ? [] : w.pads;
    const window = { strides: big(w.strides), dilations: big(w.dilations), pads: big(pads), group: BigInt(group) };
    return [
      n.wants(0) ? b.op('Conv', [dY, n.x(1)], window) : undefined,
      n.wants(1) ? kernelGradient(c) : undefined,
      n.wants(2) ? biasGradient(b, dY, w) : undefined,
    ];
  },
};

function kernelWindow(b: GradientBuilder, n: RuleNode): Window {
  const stated = n.ints('kernel_shape');
  const rank = stated?.length ?? (b.shapes.get(n.x(1))?.length ?? 0) - 2;
  if (rank < 1) return n.refuse('a kernel of unknown rank (state kernel_shape)');
  return windowOf(b, n, rank, stated ?? b.spatial(n.x(1)));
}

function biasGradient(b: GradientBuilder, dY: string, { rank }: Window): string {
  return b.op('ReduceSum', [dY, b.ints(0, ...spatialAxes(rank))], { keepdims: 0n });
}

function spatialAxes(rank: number): number[] {
  return Array.from({ length: rank }, (_, i) => i + 2);
}

/**
 * Where X is as large as Y, dX is a convolution of dY with the kernel turned around, which the engine runs a quarter faster than
 * the transposed convolution, and over the batch in parallel. Where X is larger it would multiply with mostly padding.
 */
function imageGradient({ b, n, dY, w, group, kernel }: Convolution): string {
  const pads = turnedPads(w, kernel);
  // Depthwise, a map for each channel: nothing to exchange.
  const isDepthwise = kernel?.[0] === group && kernel[1] === 1;
  if (pads === undefined || (group !== 1 && !isDepthwise)) return spread(b, dY, n.x(1), n, w, group);
  const axes = spatialAxes(w.rank);
  const isPoint = kernel?.slice(2).every((k) => k === 1) === true;
  const ends = b.ints(...axes.map(() => -(2 ** 31)));
  const last = b.ints(...axes.map(() => -1));
  const turned = isPoint ? n.x(1) : b.op('Slice', [n.x(1), last, ends, b.ints(...axes), last]);
  const weights = isDepthwise ? turned : b.op('Transpose', [turned], { perm: big([1, 0, ...axes]) });
  return b.op('Conv', [dY, weights], { dilations: big(w.dilations), pads: big(pads), group: BigInt(group) });
}

/** Pads of the turned convolution where X and Y are equally large; undefined where they are not. */
function turnedPads(w: Window, kernel: readonly number[] | undefined): readonly number[] | undefined {
  if (kernel === undefined || 'begin' in w.pads || w.strides.some((s) => s !== 1)) return undefined;
  const pads = w.pads;
  const reach = w.dilations.map((d, i) => d * ((kernel[i + 2] ?? 1) - 1));
  const isEqual = reach.every((r, i) => (pads[i] ?? 0) + (pads[i + w.rank] ?? 0) === r);
  return isEqual ? pads.map((p, i) => (reach[i % w.rank] ?? 0) - p) : undefined;
}

function kernelGradient(c: Convolution): string {
  const { b, n, w, kernel, group } = c;
  const { image, pads } = withStaticPads(b, n.x(0), w);
  if (kernel === undefined || group !== 1) return exchangedConvolution(c, image, pads);
  const isPoint = kernel.slice(2).every((k) => k === 1) && pads.every((p) => p === 0);
  if (isPoint) return pointProduct(c, image);
  return rowConvolution(c, image, pads, kernel) ?? interleavedConvolution(c, image, pads, kernel);
}

/** With more, the copies of rows cost more than the longer runs save. */
const ROW_CHANNELS_MAX = 2;

/**
 * As interleavedConvolution, for pictures of one or two channels, whose runs would be short: the rows that a window spans are laid
 * beside each other as further channels first, and the convolution goes along one axis. Undefined where it does not apply.
 */
function rowConvolution(
  { b, n, dY, w }: Convolution,
  image: string,
  pads: readonly number[],
  kernel: readonly number[],
): string | undefined {
  const [maps = 0, channels = 0, height = 0, width = 0] = kernel;
  const [, columnsX] = b.spatialSizes(n.x(0)) ?? [];
  const [, columnsY] = b.spatialSizes(n.y()) ?? [];
  const isPlain = [...w.strides, ...w.dilations].every((v) => v === 1) && w.rank === 2 && image === n.x(0);
  if (!isPlain || channels > ROW_CHANNELS_MAX || columnsX === undefined || columnsY === undefined) return undefined;
  const [top = 0, left = 0, bottom = 0, right = 0] = pads;
  const padded = top + bottom > 0 ? b.op('Pad', [image, b.ints(0, 0, top, 0, 0, 0, bottom, 0)]) : image;
  const rows = Array.from({ length: height }, (_, i) => {
    const end = i === height - 1 ? 2 ** 31 : i - height + 1;
    return b.op('Slice', [padded, b.ints(i), b.ints(end), b.ints(2)]);
  });
  const wide = channels * height;
  const pixels = b.op('Transpose', [b.op('Concat', rows, { axis: 1n })], { perm: [0n, 2n, 3n, 1n] });
  const lines = b.op('Reshape', [pixels, b.ints(1, -1, 1, columnsX * wide)]);
  const exchanged = b.op('Transpose', [dY], { perm: [1n, 0n, 2n, 3n] });
  const taps = b.op('Conv', [lines, b.op('Reshape', [exchanged, b.ints(maps, -1, 1, columnsY)])], {
    dilations: big([1, wide]),
    pads: big([0, left * wide, 0, right * wide]),
  });
  // [1, M, 1, kw kh C], rows before channels
  const split = b.op('Reshape', [taps, b.ints(maps, width, height, channels)]);
  return b.op('Transpose', [split], { perm: [0n, 3n, 2n, 1n] });
}

/** A kernel of one element: dW = sum over the batch of dY X^T, of those elements of X that the strides meet. */
function pointProduct({ b, n, dY, w }: Convolution, image: string): string {
  const axes = spatialAxes(w.rank);
  const rest = axes.map(() => 2 ** 31);
  const met = w.strides.every((s) => s === 1)
    ? image
    : b.op('Slice', [image, b.ints(...axes.map(() => 0)), b.ints(...rest), b.ints(...axes), b.ints(...w.strides)]);
  const columns = b.op('Transpose', [b.folded(met)], { perm: [0n, 2n, 1n] });
  const products = b.op('MatMul', [b.folded(dY), columns]);
  return b.reshapeLike(b.op('ReduceSum', [products, b.ints(0)], { keepdims: 0n }), n.x(1));
}

/**
 * dW as one convolution of X by dY, batch and channels exchanged, strides and dilations exchanged. The channels of X lie beside
 * each other along the last axis (steps there are C long), so that the result is [1, M, k..., k C]: an engine that unfolds windows
 * copies runs of k C elements instead of k, and multiplies into k k C columns at once instead of k k. Three times as fast.
 */
function interleavedConvolution(
  { b, dY, w }: Convolution,
  image: string,
  pads: readonly number[],
  kernel: readonly number[],
): string {
  const { rank, strides, dilations } = w;
  const [maps = 0, channels = 0, ...sizes] = kernel;
  const axes = spatialAxes(rank);
  const last = rank - 1;
  const timesChannels = (values: readonly number[]): bigint[] =>
    big(values.map((value, i) => (i % rank === last ? value * channels : value)));
  const pixels = b.op('Transpose', [image], { perm: big([0, ...axes, 1]) });
  const kept = Array<number>(rank + 1).fill(0);
  // [N, ..., W, C] -> [1, N, ..., W C]: zeros keep what stands there.
  const lines = b.op('Reshape', [b.op('Unsqueeze', [pixels, b.ints(0)]), b.ints(...kept, -1)]);
  const wide = b.op('Conv', [lines, b.op('Transpose', [dY], { perm: big([1, 0, ...axes]) })], {
    strides: big(dilations.map((d, i) => (i === last ? 1 : d))),
    dilations: timesChannels(strides),
    pads: timesChannels(pads),
  });
  const reach = sizes.map((k, i) => (i === last ? (k - 1) * (dilations[i] ?? 1) + 1 : k));
  const ends = reach.map((r, i) => (i === last ? r * channels : r));
  const zeros = b.ints(...axes.map(() => 0));
  // Rows that no window filled are left over where the strides did not divide the image.
  const exact = strides.every((s) => s === 1) ? wide : b.op('Slice', [wide, zeros, b.ints(...ends), b.ints(...axes)]);
  const split = b.op('Reshape', [exact, b.ints(maps, ...reach, channels)]);
  const step = dilations[last] ?? 1;
  const taps = step === 1 ? split : b.op('Slice', [split, b.ints(0), b.ints(2 ** 31), b.ints(rank), b.ints(step)]);
  return b.op('Transpose', [taps], { perm: big([0, rank + 1, ...axes.map((axis) => axis - 1)]) });
}

/** As above without the interleaving: for groups, and for kernels of unknown size. */
function exchangedConvolution({ b, n, dY, w, group }: Convolution, image: string, pads: readonly number[]): string {
  const axes = spatialAxes(w.rank);
  const exchange = { perm: big([1, 0, ...axes]) };
  let images = image;
  if (group === 1) {
    images = b.op('Transpose', [image], exchange);
  } else {
    const size = b.spatial(image);
    const split = b.op('Reshape', [image, b.op('Concat', [b.ints(0, group, -1), size], { axis: 0n })]);
    const turned = b.op('Transpose', [split], { perm: big([2, 1, 0, ...axes.map((axis) => axis + 1)]) });
    images = b.op('Reshape', [turned, b.op('Concat', [b.ints(0, -1), size], { axis: 0n })]);
  }
  const wide = b.op('Conv', [images, b.op('Transpose', [dY], exchange)], {
    strides: big(w.dilations),
    dilations: big(w.strides),
    pads: big(pads),
    group: BigInt(group),
  });
  const kernel = b.op('Slice', [wide, b.ints(...axes.map(() => 0)), b.spatial(n.x(1)), b.ints(...axes)]);
  return b.op('Transpose', [kernel], exchange);
}

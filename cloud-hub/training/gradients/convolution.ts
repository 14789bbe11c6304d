// Convolution. dX spreads dY through the transposed kernel; dW is itself a convolution of X by dY with batch and channels
// exchanged, strides and dilations exchanged; groups by reshaping (facts measured against finite differences).
import type { GradientBuilder } from './gradient-builder.js';
import type { GradientRule, RuleNode } from './gradient-rule.js';

interface Window {
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly pads: readonly number[];
  readonly rank: number;
}

const big = (values: readonly number[]): bigint[] => values.map(BigInt);

/** Window attributes with defaults filled in for `rank` spatial axes. */
export function windowOf(n: RuleNode, rank: number): Window {
  const ones = Array<number>(rank).fill(1);
  return {
    strides: n.ints('strides') ?? ones,
    dilations: n.ints('dilations') ?? ones,
    pads: n.ints('pads') ?? Array<number>(rank * 2).fill(0),
    rank,
  };
}

export function checkWindow(n: RuleNode): void {
  if (!['NOTSET', 'VALID'].includes(n.string('auto_pad', 'NOTSET'))) n.refuse('auto_pad SAME (state the pads)');
}

/**
 * The transposed convolution of `dY`, in the shape of `X`. The unpadded result covers all that the windows touched; a Pad
 * with negative sizes then crops the padding and adds what no window reached.
 */
export function spread(b: GradientBuilder, dY: string, W: string, X: string, w: Window, group: number): string {
  const attributes = { strides: big(w.strides), dilations: big(w.dilations), group: BigInt(group) };
  if (w.strides.every((s) => s === 1)) {
    return b.op('ConvTranspose', [dY, W], { ...attributes, pads: big(w.pads) });
  }
  const full = b.op('ConvTranspose', [dY, W], attributes);
  const begin = w.pads.slice(0, w.rank);
  const rest = b.add(b.sub(b.shape(X), b.shape(full)), b.ints(0, 0, ...begin));
  const crop = b.op('Concat', [b.ints(0, 0, ...begin.map((p) => -p)), rest], { axis: 0n });
  return b.op('Pad', [full, crop]);
}

function kernelRank(b: GradientBuilder, n: RuleNode): number {
  const rank = n.ints('kernel_shape')?.length ?? b.dims.get(n.x(1))?.length;
  if (rank === undefined) return n.refuse('a kernel of unknown rank (state kernel_shape)');
  return n.ints('kernel_shape') === undefined ? rank - 2 : rank;
}

function kernelGradient(b: GradientBuilder, n: RuleNode, dY: string, w: Window, group: number): string {
  const X = n.x(0);
  const spatialAxes = Array.from({ length: w.rank }, (_, i) => i);
  const exchange = { perm: big([1, 0, ...spatialAxes.map((i) => i + 2)]) };
  let images = X;
  if (group === 1) {
    images = b.op('Transpose', [X], exchange);
  } else {
    const size = b.spatial(X);
    const split = b.op('Reshape', [X, b.op('Concat', [b.ints(0, group, -1), size], { axis: 0n })]);
    const turned = b.op('Transpose', [split], { perm: big([2, 1, 0, ...spatialAxes.map((i) => i + 3)]) });
    images = b.op('Reshape', [turned, b.op('Concat', [b.ints(0, -1), size], { axis: 0n })]);
  }
  const wide = b.op('Conv', [images, b.op('Transpose', [dY], exchange)], {
    strides: big(w.dilations),
    dilations: big(w.strides),
    pads: big(w.pads),
    group: BigInt(group),
  });
  const axes = b.ints(...spatialAxes.map((i) => i + 2));
  const kernel = b.op('Slice', [wide, b.ints(...spatialAxes.map(() => 0)), b.spatial(n.x(1)), axes]);
  return b.op('Transpose', [kernel], exchange);
}

export const conv: GradientRule = {
  check: checkWindow,
  backward: (b, n, dY) => {
    const w = windowOf(n, kernelRank(b, n));
    const group = n.int('group', 1);
    const summed = b.ints(0, ...Array.from({ length: w.rank }, (_, i) => i + 2));
    return [
      n.wants(0) ? spread(b, dY, n.x(1), n.x(0), w, group) : undefined,
      n.wants(1) ? kernelGradient(b, n, dY, w, group) : undefined,
      n.wants(2) ? b.op('ReduceSum', [dY, summed], { keepdims: 0n }) : undefined,
    ];
  },
};

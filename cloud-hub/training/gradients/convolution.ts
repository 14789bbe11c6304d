// Convolution. dX spreads dY through the transposed kernel; dW is itself a convolution of X by dY with batch and channels
// exchanged, strides and dilations exchanged; groups by reshaping (facts measured against finite differences).
import type { GradientBuilder } from './gradient-builder.js';
import type { GradientRule, RuleNode } from './gradient-rule.js';
import { big, spread, windowOf, withStaticPads, type Window } from './window.js';

function kernelRank(b: GradientBuilder, n: RuleNode): number {
  const rank = n.ints('kernel_shape')?.length ?? b.dims.get(n.x(1))?.length;
  if (rank === undefined) return n.refuse('a kernel of unknown rank (state kernel_shape)');
  return n.ints('kernel_shape') === undefined ? rank - 2 : rank;
}

function kernelGradient(b: GradientBuilder, n: RuleNode, dY: string, w: Window, group: number): string {
  const { image: X, pads } = withStaticPads(b, n.x(0), w);
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
    pads: big(pads),
    group: BigInt(group),
  });
  const axes = b.ints(...spatialAxes.map((i) => i + 2));
  const kernel = b.op('Slice', [wide, b.ints(...spatialAxes.map(() => 0)), b.spatial(n.x(1)), axes]);
  return b.op('Transpose', [kernel], exchange);
}

export const conv: GradientRule = {
  backward: (b, n, dY) => {
    const rank = kernelRank(b, n);
    const w = windowOf(b, n, rank, n.ints('kernel_shape') ?? b.spatial(n.x(1)));
    const group = n.int('group', 1);
    const summed = b.ints(0, ...Array.from({ length: w.rank }, (_, i) => i + 2));
    return [
      n.wants(0) ? spread(b, dY, n.x(1), n.x(0), w, group) : undefined,
      n.wants(1) ? kernelGradient(b, n, dY, w, group) : undefined,
      n.wants(2) ? b.op('ReduceSum', [dY, summed], { keepdims: 0n }) : undefined,
    ];
  },
};

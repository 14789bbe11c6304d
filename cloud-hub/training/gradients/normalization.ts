// Normalizations. With x' = (x - mean) * inv and g = dY * scale: dX = inv (g - mean(g) - x' mean(g x')) where the statistics
// come from x itself, and dX = inv g where they are frozen. Statistics are computed again here instead of kept.
import type { GradientBuilder } from './gradient-builder.js';
import type { GradientRule } from './gradient-rule.js';

interface Normalized {
  readonly hat: string;
  readonly inv: string;
  readonly mean: (value: string) => string;
}

function normalize(b: GradientBuilder, x: string, axes: string, epsilon: number): Normalized {
  const total = b.sum(x, axes);
  const count = b.ratio(x, total);
  const mean = (value: string): string => b.div(b.sum(value, axes), count);
  const centred = b.sub(x, b.div(total, count));
  const inv = inverse(b, mean(b.mul(centred, centred)), epsilon);
  return { hat: b.mul(centred, inv), inv, mean };
}

function inverse(b: GradientBuilder, variance: string, epsilon: number): string {
  return b.div(b.float(1), b.op('Sqrt', [b.add(variance, b.float(epsilon))]));
}

function throughStatistics(b: GradientBuilder, { hat, inv, mean }: Normalized, g: string): string {
  return b.mul(inv, b.sub(b.sub(g, mean(g)), b.mul(hat, mean(b.mul(g, hat)))));
}

export const layerNormalization: GradientRule = {
  backward: (b, n, dY) => {
    const [x, scale] = [n.x(0), n.x(1)];
    const axis = n.int('axis', -1);
    const axes =
      axis < 0
        ? b.ints(...Array.from({ length: -axis }, (_, i) => axis + i))
        : b.op('Range', [b.int(axis), b.op('Size', [b.shape(x)]), b.int(1)]);
    const state = normalize(b, x, axes, n.float('epsilon', 1e-5));
    return [
      n.wants(0) ? throughStatistics(b, state, b.mul(dY, scale)) : undefined,
      n.wants(1) ? b.sumTo(b.mul(dY, state.hat), scale) : undefined,
      n.wants(2) ? b.sumTo(dY, n.x(2)) : undefined,
    ];
  },
};

/** Channels are axis 1; all other axes are folded, [N, C, rest]. */
export const batchNormalization: GradientRule = {
  check: (n) => {
    if (n.wants(3) || n.wants(4)) n.refuse('trained running statistics');
  },
  backward: (b, n, dY) => {
    const fold = (value: string): string => b.op('Reshape', [value, b.ints(0, 0, -1)]);
    const channel = (value: string): string => b.op('Reshape', [value, b.ints(1, -1, 1)]);
    const axes = b.ints(0, 2);
    const [x, dy, epsilon] = [fold(n.x(0)), fold(dY), n.float('epsilon', 1e-5)];
    const g = b.mul(dy, channel(n.x(1)));
    let hat: string;
    let dx: string;
    if (n.int('training_mode', 0) === 1) {
      const state = normalize(b, x, axes, epsilon);
      hat = state.hat;
      dx = throughStatistics(b, state, g);
    } else {
      const inv = inverse(b, channel(n.x(4)), epsilon);
      hat = b.mul(b.sub(x, channel(n.x(3))), inv);
      dx = b.mul(g, inv);
    }
    return [
      n.wants(0) ? b.reshapeLike(dx, n.x(0)) : undefined,
      n.wants(1) ? b.reshapeLike(b.sum(b.mul(dy, hat), axes), n.x(1)) : undefined,
      n.wants(2) ? b.reshapeLike(b.sum(dy, axes), n.x(2)) : undefined,
    ];
  },
};

// Activations: dX = dY f'(X), written with Y where that saves a pass. At a kink at 0 the left side counts.
import type { GradientBuilder } from './gradient-builder.js';
import type { GradientRule, RuleNode } from './gradient-rule.js';

/** Times the smallest normal FLOAT it is above 1. */
const STEEP = 3e38;

/** Of Selu, as ONNX fixes them (Klambauer et al., "Self-Normalizing Neural Networks", NeurIPS 2017). */
const SELU = { alpha: 1.67326319217681884765625, gamma: 1.05070102214813232421875 };

type Slope = (b: GradientBuilder, n: RuleNode) => string;

function bySlope(slope: Slope): GradientRule {
  return { backward: (b, n, dY) => [b.mul(dY, slope(b, n))] };
}

/** dY times `right` where x > 0, else times `left`. */
function byHalves(left: Slope, right: Slope): GradientRule {
  return bySlope((b, n) => b.op('Where', [isPositive(b, n), right(b, n), left(b, n)]));
}

function isPositive(b: GradientBuilder, n: RuleNode): string {
  return b.op('Greater', [n.x(0), b.float(0)]);
}

const one: Slope = (b) => b.float(1);

/**
 * dX = dY where Y > 0. The mask is min(1, 3e38 y): a step for every normal number, in one pass where Greater and Cast take two, and
 * half the time of a Where. The engine has HardSigmoid for FLOAT alone.
 */
export const relu = bySlope((b, n) => {
  const isFloat = b.floatType === 1;
  return isFloat
    ? b.op('HardSigmoid', [n.y()], { alpha: STEEP, beta: 0 })
    : b.cast(b.op('Greater', [n.y(), b.float(0)]));
});

/** dX = dY where x > 0, else alpha dY */
export const leakyRelu = byHalves((b, n) => b.float(n.float('alpha', 0.01)), one);

/** dX = dY where x > 0, else slope dY; d slope = x dY where x <= 0. */
export const pRelu: GradientRule = {
  backward: (b, n, dY) => {
    const positive = isPositive(b, n);
    const falling = (): string => b.op('Where', [positive, b.float(0), b.mul(dY, n.x(0))]);
    return [
      n.wants(0) ? b.op('Where', [positive, dY, b.mul(dY, n.x(1))]) : undefined,
      n.wants(1) ? b.sumTo(falling(), n.x(1), b.shapes.get(n.x(0))) : undefined,
    ];
  },
};

/** y = alpha (exp(x) - 1) below 0, so its slope is y + alpha. */
export const elu = byHalves((b, n) => b.add(n.y(), b.float(n.float('alpha', 1))), one);

export const selu = byHalves(
  (b, n) => b.add(n.y(), b.float(n.float('gamma', SELU.gamma) * n.float('alpha', SELU.alpha))),
  (b, n) => b.float(n.float('gamma', SELU.gamma)),
);

/** y = alpha (exp(x / alpha) - 1) below 0, so its slope is y / alpha + 1. */
export const celu = byHalves((b, n) => b.add(b.div(n.y(), b.float(n.float('alpha', 1))), b.float(1)), one);

/** dX = dY y (1 - y) */
export const sigmoid = bySlope((b, n) => b.mul(n.y(), b.sub(b.float(1), n.y())));

/** dX = dY (1 - y^2) */
export const tanh = bySlope((b, n) => b.sub(b.float(1), b.mul(n.y(), n.y())));

/** dX = dY / (1 + exp(-x)) */
export const softplus = bySlope((b, n) => b.op('Sigmoid', [n.x(0)]));

/** dX = dY / (1 + |x|)^2 */
export const softsign = bySlope((b, n) => {
  const reach = b.add(b.float(1), b.op('Abs', [n.x(0)]));
  return b.div(b.float(1), b.mul(reach, reach));
});

/** y = x t, t = tanh(log(1 + exp(x))): dX = dY (t + x (1 - t^2) / (1 + exp(-x))) */
export const mish = bySlope((b, n) => {
  const x = n.x(0);
  const t = b.op('Tanh', [b.op('Softplus', [x])]);
  const bend = b.mul(b.sub(b.float(1), b.mul(t, t)), b.op('Sigmoid', [x]));
  return b.add(t, b.mul(x, bend));
});

/**
 * Exact: y = x P(x) with the normal distribution P and its density p, so dX = dY (P(x) + x p(x)). With tanh: y = x (1 + t) / 2,
 * t = tanh(u), u = c (x + 0.044715 x^3), so dX = dY ((1 + t) / 2 + x (1 - t^2) u' / 2).
 */
export const gelu = bySlope((b, n) => {
  const x = n.x(0);
  const half = b.float(0.5);
  const square = b.mul(x, x);
  if (n.string('approximate', 'none') === 'tanh') {
    const c = b.float(Math.sqrt(2 / Math.PI));
    const cubic = b.mul(b.float(0.044715), square);
    const t = b.op('Tanh', [b.mul(b.mul(c, x), b.add(b.float(1), cubic))]);
    const slope = b.mul(c, b.add(b.float(1), b.mul(b.float(3), cubic)));
    const bend = b.mul(b.mul(x, b.sub(b.float(1), b.mul(t, t))), slope);
    return b.mul(half, b.add(b.add(b.float(1), t), bend));
  }
  const erf = b.op('Erf', [b.mul(x, b.float(Math.SQRT1_2))]);
  const density = b.mul(b.op('Exp', [b.op('Neg', [b.mul(half, square)])]), b.float(1 / Math.sqrt(2 * Math.PI)));
  return b.add(b.mul(half, b.add(b.float(1), erf)), b.mul(x, density));
});

/** y = max(0, min(1, alpha x + beta)): dX = alpha dY where 0 < y < 1 */
export const hardSigmoid = bySlope((b, n) => slopeOfClipped(b, n.y(), n.float('alpha', 0.2)));

/** y = x s, s = max(0, min(1, x / 6 + 1/2)): dX = dY (s + x s') */
export const hardSwish = bySlope((b, n) => {
  const x = n.x(0);
  const line = b.add(b.mul(x, b.float(1 / 6)), b.float(0.5));
  const s = b.op('Clip', [line, b.float(0), b.float(1)]);
  return b.add(s, b.mul(x, slopeOfClipped(b, s, 1 / 6)));
});

function slopeOfClipped(b: GradientBuilder, clipped: string, slope: number): string {
  const rises = b.op('And', [b.op('Greater', [clipped, b.float(0)]), b.op('Less', [clipped, b.float(1)])]);
  return b.mul(b.cast(rises), b.float(slope));
}

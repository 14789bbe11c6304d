// Activations beside those of elementwise.ts: dX = dY f'(X), written with Y where that saves a pass. At a kink the left side counts.
import type { GradientBuilder } from './gradient-builder.js';
import type { GradientRule, RuleNode } from './gradient-rule.js';

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

/** y = alpha (exp(x) - 1) below 0, so its slope is y + alpha. */
export const elu = byHalves((b, n) => b.add(n.y(), b.float(n.float('alpha', 1))), one);

export const selu = byHalves(
  (b, n) => b.add(n.y(), b.float(n.float('gamma', SELU.gamma) * n.float('alpha', SELU.alpha))),
  (b, n) => b.float(n.float('gamma', SELU.gamma)),
);

/** y = alpha (exp(x / alpha) - 1) below 0, so its slope is y / alpha + 1. */
export const celu = byHalves((b, n) => b.add(b.div(n.y(), b.float(n.float('alpha', 1))), b.float(1)), one);

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

/** dX = dY sign(x) */
export const abs = bySlope((b, n) => b.op('Sign', [n.x(0)]));

/** dX = -dY y^2 */
export const reciprocal = bySlope((b, n) => b.op('Neg', [b.mul(n.y(), n.y())]));

export const sin = bySlope((b, n) => b.op('Cos', [n.x(0)]));
export const cos = bySlope((b, n) => b.op('Neg', [b.op('Sin', [n.x(0)])]));

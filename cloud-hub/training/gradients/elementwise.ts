// Elementwise operators: dX = dY * f'(X). Binary ones broadcast, so their gradients are summed over the stretched axes.
import type { GradientBuilder } from './gradient-builder.js';
import type { GradientRule, RuleNode } from './gradient-rule.js';

/** Times the smallest normal FLOAT it is above 1. */
const STEEP = 3e38;

type Side = (b: GradientBuilder, node: RuleNode, dY: string) => string;

function binary(left: Side, right: Side): GradientRule {
  return {
    backward: (b, node, dY) =>
      [left, right].map((side, i) =>
        node.wants(i) ? b.sumTo(side(b, node, dY), node.x(i), b.shapes.get(node.y())) : undefined,
      ),
  };
}

function unary(backward: Side): GradientRule {
  return { backward: (b, node, dY) => [backward(b, node, dY)] };
}

/** d(a + b) = da + db */
export const add = binary(
  (_b, _n, dY) => dY,
  (_b, _n, dY) => dY,
);

/** d(a - b) = da - db */
export const sub = binary(
  (_b, _n, dY) => dY,
  (b, _n, dY) => b.op('Neg', [dY]),
);

/** d(ab) = b da + a db */
export const mul = binary(
  (b, n, dY) => b.mul(dY, n.x(1)),
  (b, n, dY) => b.mul(dY, n.x(0)),
);

/** d(a/b) = da/b - (a/b) db/b */
export const div = binary(
  (b, n, dY) => b.div(dY, n.x(1)),
  (b, n, dY) => b.op('Neg', [b.div(b.mul(dY, n.y()), n.x(1))]),
);

/**
 * dX = dY where Y > 0; 0 at the kink. The mask is min(1, 3e38 y): a step for every normal number, in one pass where Greater and Cast
 * take two, and half the time of a Where. The engine has HardSigmoid for FLOAT alone.
 */
export const relu = unary((b, n, dY) => {
  const isFloat = b.floatType === 1;
  const mask = isFloat
    ? b.op('HardSigmoid', [n.y()], { alpha: STEEP, beta: 0 })
    : b.cast(b.op('Greater', [n.y(), b.float(0)]));
  return b.mul(dY, mask);
});

/** dX = dY y (1 - y) */
export const sigmoid = unary((b, n, dY) => b.mul(dY, b.mul(n.y(), b.sub(b.float(1), n.y()))));

/** dX = dY (1 - y^2) */
export const tanh = unary((b, n, dY) => b.mul(dY, b.sub(b.float(1), b.mul(n.y(), n.y()))));

/**
 * Exact: y = x P(x) with the normal distribution P and its density p, so dX = dY (P(x) + x p(x)). With tanh: y = x (1 + t) / 2,
 * t = tanh(u), u = c (x + 0.044715 x^3), so dX = dY ((1 + t) / 2 + x (1 - t^2) u' / 2).
 */
export const gelu = unary((b, n, dY) => {
  const x = n.x(0);
  const half = b.float(0.5);
  const square = b.mul(x, x);
  if (n.string('approximate', 'none') === 'tanh') {
    const c = b.float(Math.sqrt(2 / Math.PI));
    const cubic = b.mul(b.float(0.044715), square);
    const t = b.op('Tanh', [b.mul(b.mul(c, x), b.add(b.float(1), cubic))]);
    const slope = b.mul(c, b.add(b.float(1), b.mul(b.float(3), cubic)));
    const bend = b.mul(b.mul(x, b.sub(b.float(1), b.mul(t, t))), slope);
    return b.mul(dY, b.mul(half, b.add(b.add(b.float(1), t), bend)));
  }
  const erf = b.op('Erf', [b.mul(x, b.float(Math.SQRT1_2))]);
  const density = b.mul(b.op('Exp', [b.op('Neg', [b.mul(half, square)])]), b.float(1 / Math.sqrt(2 * Math.PI)));
  return b.mul(dY, b.add(b.mul(half, b.add(b.float(1), erf)), b.mul(x, density)));
});

/** dX = dY where min <= x <= max, bounds included; the bounds themselves are constants. */
export const clip: GradientRule = {
  check: (n) => {
    if (n.wants(1) || n.wants(2)) n.refuse('trained bounds');
  },
  backward: (b, n, dY) => {
    let gradient = dY;
    if (n.has(1)) {
      gradient = b.op('Where', [b.op('GreaterOrEqual', [n.x(0), n.x(1)]), gradient, b.float(0)]);
    }
    if (n.has(2)) gradient = b.op('Where', [b.op('LessOrEqual', [n.x(0), n.x(2)]), gradient, b.float(0)]);
    return [gradient];
  },
};

/** d(a + b + ...) = da + db + ... */
export const sum: GradientRule = {
  backward: (b, n, dY) =>
    n.node.input.map((input, i) => (n.wants(i) ? b.sumTo(dY, input, b.shapes.get(n.y())) : undefined)),
};

/** dX = dY y */
export const exp = unary((b, n, dY) => b.mul(dY, n.y()));

/** dX = dY / x */
export const log = unary((b, n, dY) => b.div(dY, n.x(0)));

/** dX = dY / 2y */
export const sqrt = unary((b, n, dY) => b.div(b.mul(dY, b.float(0.5)), n.y()));

/** dX = -dY */
export const neg = unary((b, _n, dY) => b.op('Neg', [dY]));

/** dX = dY 2 exp(-x^2) / sqrt(pi). Exporters before operator set 20 write Gelu with it. */
export const erf = unary((b, n, dY) => {
  const bell = b.op('Exp', [b.op('Neg', [b.mul(n.x(0), n.x(0))])]);
  return b.mul(dY, b.mul(b.float(2 / Math.sqrt(Math.PI)), bell));
});

/** dX = dY p x^(p-1); the exponent is a constant of any number type. */
export const pow: GradientRule = {
  check: (n) => {
    if (n.wants(1)) n.refuse('a trained exponent');
  },
  backward: (b, n, dY) => {
    const p = b.cast(n.x(1));
    const slope = b.mul(p, b.op('Pow', [n.x(0), b.sub(p, b.float(1))]));
    return [b.sumTo(b.mul(dY, slope), n.x(0), b.shapes.get(n.y()))];
  },
};

/** dX = dY where x > 0, else alpha dY */
export const leakyRelu = unary((b, n, dY) => {
  const falling = b.mul(dY, b.float(n.float('alpha', 0.01)));
  return b.op('Where', [b.op('Greater', [n.x(0), b.float(0)]), dY, falling]);
});

/** y = max(0, min(1, alpha x + beta)): dX = alpha dY where 0 < y < 1 */
export const hardSigmoid = unary((b, n, dY) => b.mul(dY, slopeOfClipped(b, n.y(), n.float('alpha', 0.2))));

/** y = x s, s = max(0, min(1, x / 6 + 1/2)): dX = dY (s + x s') */
export const hardSwish = unary((b, n, dY) => {
  const x = n.x(0);
  const line = b.add(b.mul(x, b.float(1 / 6)), b.float(0.5));
  const s = b.op('Clip', [line, b.float(0), b.float(1)]);
  return b.mul(dY, b.add(s, b.mul(x, slopeOfClipped(b, s, 1 / 6))));
});

function slopeOfClipped(b: GradientBuilder, clipped: string, slope: number): string {
  const rises = b.op('And', [b.op('Greater', [clipped, b.float(0)]), b.op('Less', [clipped, b.float(1)])]);
  return b.mul(b.cast(rises), b.float(slope));
}

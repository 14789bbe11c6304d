// Elementwise arithmetic: dX = dY * f'(X). What takes several values broadcasts, so its gradients are summed over the stretched axes.
// Activations: activation.ts.
import type { GradientBuilder } from './gradient-builder.js';
import type { GradientRule, RuleNode } from './gradient-rule.js';

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

/** d(a + b + ...) = da + db + ... */
export const sum: GradientRule = {
  backward: (b, n, dY) =>
    n.node.input.map((input, i) => (n.wants(i) ? b.sumTo(dY, input, b.shapes.get(n.y())) : undefined)),
};

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

/** dX = -dY */
export const neg = unary((b, _n, dY) => b.op('Neg', [dY]));

/** dX = dY sign(x), 0 at the kink */
export const abs = unary((b, n, dY) => b.mul(dY, b.op('Sign', [n.x(0)])));

/** dX = -dY y^2 */
export const reciprocal = unary((b, n, dY) => b.mul(dY, b.op('Neg', [b.mul(n.y(), n.y())])));

/** dX = dY / 2y */
export const sqrt = unary((b, n, dY) => b.div(b.mul(dY, b.float(0.5)), n.y()));

/** dX = dY y */
export const exp = unary((b, n, dY) => b.mul(dY, n.y()));

/** dX = dY / x */
export const log = unary((b, n, dY) => b.div(dY, n.x(0)));

/** dX = dY cos(x) */
export const sin = unary((b, n, dY) => b.mul(dY, b.op('Cos', [n.x(0)])));

/** dX = -dY sin(x) */
export const cos = unary((b, n, dY) => b.mul(dY, b.op('Neg', [b.op('Sin', [n.x(0)])])));

/** dX = dY 2 exp(-x^2) / sqrt(pi). Exporters before operator set 20 write Gelu with it. */
export const erf = unary((b, n, dY) => {
  const bell = b.op('Exp', [b.op('Neg', [b.mul(n.x(0), n.x(0))])]);
  return b.mul(dY, b.mul(b.float(2 / Math.sqrt(Math.PI)), bell));
});

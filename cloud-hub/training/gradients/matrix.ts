// Matrix products. MatMul: dA = dY B^T, dB = A^T dY over the last two axes, summed over broadcast batch axes.
import type { GradientBuilder } from './gradient-builder.js';
import type { Shape } from './infer-shapes.js';
import type { GradientRule, InputGradients, RuleNode } from './gradient-rule.js';

/** The last two axes exchanged, whatever the rank: folded to three axes and back (Einsum's ellipsis does not broadcast here). */
function transposed(b: GradientBuilder, value: string): string {
  const [batch, rows, columns] = [b.dims(value, 0, -2), b.dims(value, -2, -1), b.dims(value, -1)];
  const folded = b.op('Reshape', [value, b.op('Concat', [b.ints(-1), rows, columns], { axis: 0n })]);
  const turned = b.op('Transpose', [folded], { perm: [0n, 2n, 1n] });
  return b.op('Reshape', [turned, b.op('Concat', [batch, columns, rows], { axis: 0n })]);
}

/** A weight matrix of two axes takes plain products of two-dimensional matrices; other cases are batches of any rank >= 2. */
export const matMul: GradientRule = {
  backward: (b, n, dY) => {
    const [A, B] = [n.x(0), n.x(1)];
    const [a, c, y] = [A, B, n.y()].map((name) => b.shapes.get(name));
    if (c?.length === 1) return byColumn(b, n, dY);
    if (a?.length === 1) return rowBy(b, n, dY);
    if (c?.length === 2) {
      const swap = { perm: [1n, 0n] };
      return [
        n.wants(0) ? b.op('MatMul', [dY, b.op('Transpose', [B], swap)]) : undefined,
        n.wants(1) ? b.op('MatMul', [b.op('Transpose', [rows(b, A, B, 0)], swap), rows(b, dY, B, 1)]) : undefined,
      ];
    }
    const batches = y?.slice(0, -2);
    const whole = (of: Shape | undefined): Shape | undefined => batches && of && [...batches, ...of.slice(-2)];
    return [
      n.wants(0) ? b.sumTo(b.op('MatMul', [dY, transposed(b, B)]), A, whole(a)) : undefined,
      n.wants(1) ? b.sumTo(b.op('MatMul', [transposed(b, A), dY]), B, whole(c)) : undefined,
    ];
  },
};

/** All rows of a batch as one matrix, as wide as `axis` of B is long. */
function rows(b: GradientBuilder, value: string, B: string, axis: number): string {
  const width = b.sizes(B)?.[axis];
  if (width !== undefined) return b.op('Reshape', [value, b.ints(-1, width)]);
  return b.op('Reshape', [value, b.op('Concat', [b.ints(-1), b.dims(B, axis, axis + 1)], { axis: 0n })]);
}

/** B [K]: every element of dY goes to one row of A, [..., K]. */
function byColumn(b: GradientBuilder, n: RuleNode, dY: string): InputGradients {
  const each = b.op('Unsqueeze', [dY, b.ints(-1)]);
  const products = (): string => b.sumTo(b.mul(each, n.x(0)), n.x(1), b.shapes.get(n.x(0)));
  return [n.wants(0) ? b.mul(each, n.x(1)) : undefined, n.wants(1) ? products() : undefined];
}

/** A [K]: every element of dY goes to one column of B, [..., K, N]. */
function rowBy(b: GradientBuilder, n: RuleNode, dY: string): InputGradients {
  const each = b.op('Unsqueeze', [dY, b.ints(-2)]);
  const sums = (): string => b.op('ReduceSum', [b.mul(n.x(1), each), b.ints(-1)], { keepdims: 0n });
  return [
    n.wants(0) ? b.sumTo(sums(), n.x(0), b.shapes.get(n.x(1))?.slice(0, -1)) : undefined,
    n.wants(1) ? b.mul(b.op('Unsqueeze', [n.x(0), b.ints(-1)]), each) : undefined,
  ];
}

/** Y = alpha A' B' + beta C, where ' is the stated transposition. */
export const gemm: GradientRule = {
  backward: (b, n, dY) => {
    const [A, B] = [n.x(0), n.x(1)];
    const [tA, tB] = [BigInt(n.int('transA', 0)), BigInt(n.int('transB', 0))];
    const product = (l: string, r: string, transA: bigint, transB: bigint): string =>
      b.op('Gemm', [l, r], { alpha: n.float('alpha', 1), transA, transB });
    const scaled = (factor: number): string => (factor === 1 ? dY : b.mul(dY, b.float(factor)));
    const dA = (): string => (tA === 0n ? product(dY, B, 0n, 1n - tB) : product(B, dY, tB, 1n));
    const dB = (): string => (tB === 0n ? product(A, dY, 1n - tA, 0n) : product(dY, A, 1n, tA));
    return [
      n.wants(0) ? dA() : undefined,
      n.wants(1) ? dB() : undefined,
      n.wants(2) ? b.sumTo(scaled(n.float('beta', 1)), n.x(2), b.shapes.get(n.y())) : undefined,
    ];
  },
};

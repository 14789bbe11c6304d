// Matrix products. MatMul: dA = dY B^T, dB = A^T dY over the last two axes, summed over broadcast batch axes.
import type { GradientBuilder } from './gradient-builder.js';
import type { GradientRule, InputGradients, RuleNode } from './gradient-rule.js';

/** The last two axes exchanged, whatever the rank: folded to three axes and back (Einsum's ellipsis does not broadcast here). */
function transposed(b: GradientBuilder, value: string): string {
  const shape = b.shape(value);
  const part = (from: number, to: number): string => b.op('Slice', [shape, b.ints(from), b.ints(to), b.ints(0)]);
  const [batch, rows, columns] = [part(0, -2), part(-2, -1), part(-1, 2 ** 31)];
  const folded = b.op('Reshape', [value, b.op('Concat', [b.ints(-1), rows, columns], { axis: 0n })]);
  const turned = b.op('Transpose', [folded], { perm: [0n, 2n, 1n] });
  return b.op('Reshape', [turned, b.op('Concat', [batch, columns, rows], { axis: 0n })]);
}

/** A weight matrix of two axes takes plain products of two-dimensional matrices; other cases are batches of any rank >= 2. */
export const matMul: GradientRule = {
  backward: (b, n, dY) => {
    const [A, B] = [n.x(0), n.x(1)];
    const dims = b.dims.get(B);
    if (dims?.length === 1) return byColumn(b, n, dY);
    if (b.dims.get(A)?.length === 1) return rowBy(b, n, dY);
    if (dims?.length === 2) {
      const swap = { perm: [1n, 0n] };
      const rows = (value: string, columns: string): string =>
        b.op('Reshape', [value, b.op('Concat', [b.ints(-1), columns], { axis: 0n })]);
      const width = (axis: number): string => b.op('Slice', [b.shape(B), b.ints(axis), b.ints(axis + 1), b.ints(0)]);
      return [
        n.wants(0) ? b.op('MatMul', [dY, b.op('Transpose', [B], swap)]) : undefined,
        n.wants(1) ? b.op('MatMul', [b.op('Transpose', [rows(A, width(0))], swap), rows(dY, width(1))]) : undefined,
      ];
    }
    return [
      n.wants(0) ? b.sumTo(b.op('MatMul', [dY, transposed(b, B)]), A) : undefined,
      n.wants(1) ? b.sumTo(b.op('MatMul', [transposed(b, A), dY]), B) : undefined,
    ];
  },
};

/** B [K]: every element of dY goes to one row of A, [..., K]. */
function byColumn(b: GradientBuilder, n: RuleNode, dY: string): InputGradients {
  const each = b.op('Unsqueeze', [dY, b.ints(-1)]);
  return [n.wants(0) ? b.mul(each, n.x(1)) : undefined, n.wants(1) ? b.sumTo(b.mul(each, n.x(0)), n.x(1)) : undefined];
}

/** A [K]: every element of dY goes to one column of B, [..., K, N]. */
function rowBy(b: GradientBuilder, n: RuleNode, dY: string): InputGradients {
  const each = b.op('Unsqueeze', [dY, b.ints(-2)]);
  const rows = (): string => b.op('ReduceSum', [b.mul(n.x(1), each), b.ints(-1)], { keepdims: 0n });
  return [
    n.wants(0) ? b.sumTo(rows(), n.x(0)) : undefined,
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
    const dA = (): string => (tA === 0n ? product(dY, B, 0n, 1n - tB) : product(B, dY, tB, 1n));
    const dB = (): string => (tB === 0n ? product(A, dY, 1n - tA, 0n) : product(dY, A, 1n, tA));
    return [
      n.wants(0) ? dA() : undefined,
      n.wants(1) ? dB() : undefined,
      n.wants(2) ? b.sumTo(b.mul(dY, b.float(n.float('beta', 1))), n.x(2)) : undefined,
    ];
  },
};

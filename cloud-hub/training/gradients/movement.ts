// Operators that move elements: the gradient moves back. Where elements are chosen (Slice, Gather), the same node is applied to
// the flat positions of X, and dY is added there; repeated choices add up.
import type { GradientBuilder } from './gradient-builder.js';
import type { GradientRule, RuleNode } from './gradient-rule.js';

/** Reshape, Flatten, Squeeze, Unsqueeze, Identity: the same elements in the shape of X. */
export const reshape: GradientRule = { backward: (b, n, dY) => [b.reshapeLike(dY, n.x(0))] };

export const transpose: GradientRule = {
  backward: (b, n, dY) => {
    const perm = n.ints('perm');
    if (perm === undefined) return [b.op('Transpose', [dY])]; // the reversal is its own inverse
    return [b.op('Transpose', [dY], { perm: perm.map((_, axis) => BigInt(perm.indexOf(axis))) })];
  },
};

export const concat: GradientRule = {
  backward: (b, n, dY) => {
    const axis = n.int('axis', 0);
    let start = b.ints(0);
    return n.node.input.map((input, i) => {
      const end = b.add(start, b.op('Gather', [b.shape(input), b.ints(axis)], { axis: 0n }));
      const part = n.wants(i) ? b.op('Slice', [dY, start, end, b.ints(axis)]) : undefined;
      start = end;
      return part;
    });
  },
};

function chosen(b: GradientBuilder, n: RuleNode, dY: string, attributes: Record<string, bigint>): [string] {
  const rest = n.node.input.slice(1);
  const where = b.op(n.node.opType ?? '', [b.positions(n.x(0)), ...rest], attributes);
  return [b.scatterAdd(dY, where, n.x(0))];
}

export const slice: GradientRule = { backward: (b, n, dY) => chosen(b, n, dY, {}) };

export const gather: GradientRule = {
  backward: (b, n, dY) => chosen(b, n, dY, { axis: BigInt(n.int('axis', 0)) }),
};

// Operators that move elements: the gradient moves back. Where elements are chosen or repeated (Slice, Gather, Tile), the same node is
// applied to the flat positions of X, and dY is added there; repeated choices add up.
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

/** The parts' gradients laid end to end; a part that no loss hangs on gives zeros. */
export const split: GradientRule = {
  takesEveryOutput: true,
  check: (n) => {
    if (n.node.output.includes('')) n.refuse('an output without a name');
  },
  backward: (b, n, _dY, ofOutputs) => [b.op('Concat', ofOutputs, { axis: BigInt(n.int('axis', 0)) })],
};

type Attributes = Readonly<Record<string, bigint | string>>;

function chosen(b: GradientBuilder, n: RuleNode, dY: string, attributes: Attributes): [string] {
  const rest = n.node.input.slice(1);
  const where = b.op(n.node.opType ?? '', [b.positions(n.x(0)), ...rest], attributes);
  return [b.scatterAdd(dY, where, n.x(0))];
}

/** Slice and Tile. */
export const slice: GradientRule = { backward: (b, n, dY) => chosen(b, n, dY, {}) };

/** Gather and GatherElements. */
export const gather: GradientRule = {
  backward: (b, n, dY) => chosen(b, n, dY, { axis: BigInt(n.int('axis', 0)) }),
};

export const gatherNd: GradientRule = {
  backward: (b, n, dY) => chosen(b, n, dY, { batch_dims: BigInt(n.int('batch_dims', 0)) }),
};

export const expand: GradientRule = {
  backward: (b, n, dY) => [b.sumTo(dY, n.x(0), b.shapes.get(n.y()))],
};

/** What was padded with a constant is cropped (a Pad by negative sizes); what was copied to the edges is added where it came from. */
export const pad: GradientRule = {
  check: (n) => {
    if (n.wants(2)) n.refuse('a trained value');
  },
  backward: (b, n, dY) => {
    const mode = n.string('mode', 'constant');
    if (mode === 'constant') {
      const axes = n.has(3) ? ['', n.x(3)] : [];
      return [b.op('Pad', [dY, b.op('Neg', [n.x(1)]), ...axes])];
    }
    return chosen(b, n, dY, { mode });
  },
};

/** Blocks of [b, b] pixels against b^2 channels: the way back is the other operator, written out where the engine has but one order. */
export const depthToSpace: GradientRule = {
  backward: (b, n, dY) => {
    const block = n.int('blocksize', 1);
    const size = (axis: number): string => b.dims(n.x(0), axis, axis + 1);
    const blocks = b.op('Concat', [b.ints(0, 0), size(2), b.ints(block), size(3), b.ints(block)], { axis: 0n });
    const perm = n.string('mode', 'DCR') === 'DCR' ? [0n, 3n, 5n, 1n, 2n, 4n] : [0n, 1n, 3n, 5n, 2n, 4n];
    return [b.reshapeLike(b.op('Transpose', [b.op('Reshape', [dY, blocks])], { perm }), n.x(0))];
  },
};

export const spaceToDepth: GradientRule = {
  backward: (b, n, dY) => [b.op('DepthToSpace', [dY], { blocksize: BigInt(n.int('blocksize', 1)) })],
};

export const trilu: GradientRule = {
  backward: (b, n, dY) => [b.op('Trilu', n.has(1) ? [dY, n.x(1)] : [dY], { upper: BigInt(n.int('upper', 1)) })],
};

/** Summed from the other end. */
export const cumSum: GradientRule = {
  backward: (b, n, dY) => {
    const reverse = BigInt(1 - n.int('reverse', 0));
    return [b.op('CumSum', [dY, n.x(1)], { reverse, exclusive: BigInt(n.int('exclusive', 0)) })];
  },
};

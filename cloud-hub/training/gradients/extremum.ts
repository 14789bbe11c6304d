// Largest and smallest: dY goes to the element that won. Elements that are equal share it, as PyTorch's amax, maximum and minimum do.
import type { GradientBuilder } from './gradient-builder.js';
import type { GradientRule } from './gradient-rule.js';
import { checkAxes, keptAxes, reducedAxes } from './reduction.js';

/** 1 where `value` equals the winner, which broadcasts. */
function isWinner(b: GradientBuilder, value: string, winner: string): string {
  return b.cast(b.op('Equal', [value, winner]));
}

/** ReduceMax and ReduceMin. */
export const reduceExtremum: GradientRule = {
  check: checkAxes,
  backward: (b, n, dY) => {
    const axes = reducedAxes(b, n);
    const won = isWinner(b, n.x(0), keptAxes(b, n, n.y(), axes));
    const winners = axes === undefined ? b.op('ReduceSum', [won]) : b.sum(won, axes);
    return [b.mul(won, b.div(keptAxes(b, n, dY, axes), winners))];
  },
};

export const globalMaxPool: GradientRule = {
  backward: (b, n, dY) => {
    const won = isWinner(b, n.x(0), n.y());
    const winners = b.reshapeLike(b.sum(b.folded(won), b.ints(2)), n.y());
    return [b.mul(won, b.div(dY, winners))];
  },
};

/** Max and Min of several values, which broadcast. */
export const extremum: GradientRule = {
  backward: (b, n, dY) => {
    const won = n.node.input.map((input) => isWinner(b, input, n.y()));
    const share = b.div(dY, b.op('Sum', won));
    return won.map((mask, i) => (n.wants(i) ? b.sumTo(b.mul(share, mask), n.x(i), b.shapes.get(n.y())) : undefined));
  },
};

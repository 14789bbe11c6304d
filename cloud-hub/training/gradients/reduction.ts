// Sums, means and norms: dY goes to every element that was added, divided by their number for a mean, times the element's slope for a
// norm.
import type { GradientBuilder } from './gradient-builder.js';
import type { GradientRule, RuleNode } from './gradient-rule.js';

/** Axes that the node reduces, an attribute before operator set 18 (13 for ReduceSum), an input since; undefined for all of them. */
export function reducedAxes(b: GradientBuilder, n: RuleNode): string | undefined {
  const listed = n.ints('axes');
  return n.has(1) ? n.x(1) : listed === undefined ? undefined : b.ints(...listed);
}

/** A value in the shape of the node's result, with the reduced axes as 1 (a scalar where that is all of them): broadcasts with X. */
export function keptAxes(b: GradientBuilder, n: RuleNode, value: string, axes: string | undefined): string {
  return n.int('keepdims', 1) !== 0 || axes === undefined ? value : b.op('Unsqueeze', [value, axes]);
}

/** Of every reduction: empty axes mean all of them. */
export function checkAxes(n: RuleNode): void {
  if (n.int('noop_with_empty_axes', 0) !== 0) n.refuse('noop_with_empty_axes');
}

function reduction(isMean: boolean): GradientRule {
  return {
    check: checkAxes,
    backward: (b, n, dY) => {
      const kept = keptAxes(b, n, dY, reducedAxes(b, n));
      const each = isMean ? b.div(kept, b.ratio(n.x(0), n.y())) : kept;
      return [b.op('Expand', [each, b.shape(n.x(0))])];
    },
  };
}

export const reduceSum = reduction(false);
export const reduceMean = reduction(true);

/** `slope` of the result by each element, from X and the result, which broadcasts. */
function bySlope(slope: (b: GradientBuilder, x: string, y: string) => string): GradientRule {
  return {
    check: checkAxes,
    backward: (b, n, dY) => {
      const axes = reducedAxes(b, n);
      const of = slope(b, n.x(0), keptAxes(b, n, n.y(), axes));
      return [b.mul(keptAxes(b, n, dY, axes), of)];
    },
  };
}

export const reduceSumSquare = bySlope((b, x) => b.mul(b.float(2), x));
export const reduceL1 = bySlope((b, x) => b.op('Sign', [x]));
/** 0 where all elements are 0, as PyTorch has it. */
export const reduceL2 = bySlope((b, x, y) => {
  const isZero = b.op('Equal', [y, b.float(0)]);
  return b.div(x, b.op('Where', [isZero, b.float(1), y]));
});
export const reduceLogSumExp = bySlope((b, x, y) => b.op('Exp', [b.sub(x, y)]));

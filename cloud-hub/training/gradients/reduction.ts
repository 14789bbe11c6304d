// Sums and means: dY goes to every element that was added, divided by their number for a mean.
import type { GradientRule } from './gradient-rule.js';

function reduction(isMean: boolean): GradientRule {
  return {
    check: (n) => {
      if (n.int('noop_with_empty_axes', 0) !== 0) n.refuse('noop_with_empty_axes');
    },
    backward: (b, n, dY) => {
      const [x, listed] = [n.x(0), n.ints('axes')];
      const axes = n.has(1) ? n.x(1) : listed === undefined ? undefined : b.ints(...listed);
      let kept = dY;
      if (n.int('keepdims', 1) === 0) kept = axes === undefined ? b.flat(dY) : b.op('Unsqueeze', [dY, axes]);
      const each = isMean ? b.div(kept, b.ratio(x, n.y())) : kept;
      return [b.op('Expand', [each, b.shape(x)])];
    },
  };
}

export const reduceSum = reduction(false);
export const reduceMean = reduction(true);

// Operators that pass a value on or hold it back, element by element or as a whole.
import { makeNode } from '@tidegate/shared/onnx/make-node.js';
import type { GradientRule } from './gradient-rule.js';

/** dY to that value which the condition chose. */
export const where: GradientRule = {
  backward: (b, n, dY) => {
    const zero = b.float(0);
    const to = (i: number, part: string): string => b.sumTo(part, n.x(i), b.shapes.get(n.y()));
    return [
      undefined,
      n.wants(1) ? to(1, b.op('Where', [n.x(0), dY, zero])) : undefined,
      n.wants(2) ? to(2, b.op('Where', [n.x(0), zero, dY])) : undefined,
    ];
  },
};

/** To the type that the gradients have, the same number; another would make gradients of several types. */
export const cast: GradientRule = {
  forward: (b, n) => {
    const to = n.int('to', 0);
    return to === b.floatType ? n.node : n.refuse(`another real type (${to})`);
  },
  backward: (_b, _n, dY) => [dY],
};

/**
 * Nothing is dropped: the node runs as Identity. A mask that the engine draws can't be drawn again from a checkpoint, and a trained
 * version is fine-tuned on few samples for few steps.
 */
export const dropout: GradientRule = {
  check: (n) => {
    if (n.wants(1)) n.refuse('a trained ratio');
  },
  forward: (_b, n) => {
    const { name } = n.node;
    return makeNode('Identity', [n.x(0)], [n.y()], name === undefined ? {} : { name });
  },
  backward: (_b, _n, dY) => [dY],
};

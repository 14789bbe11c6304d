// Einsum: the gradient of an operand is the Einsum of dY and the other operands, onto the operand's own indices.
import type { GradientBuilder } from './gradient-builder.js';
import type { GradientRule, RuleNode } from './gradient-rule.js';

interface Equation {
  readonly operands: readonly string[];
  readonly result: string;
}

function equationOf(n: RuleNode): Equation {
  const text = n.string('equation', '').replaceAll(' ', '');
  const [left = '', right] = text.split('->');
  const operands = left.split(',');
  if (text.includes('.')) n.refuse('an ellipsis');
  if (operands.some((indices) => new Set(indices).size !== indices.length)) n.refuse('a repeated index (a diagonal)');
  return { operands, result: right ?? implied(left) };
}

/** Without an arrow: indices that stand once, in alphabetical order. */
function implied(left: string): string {
  const letters = left.replaceAll(',', '');
  return [...letters]
    .filter((c) => letters.indexOf(c) === letters.lastIndexOf(c))
    .sort()
    .join('');
}

export const einsum: GradientRule = {
  check: (n) => void equationOf(n),
  backward: (b, n, dY) => {
    const { operands, result } = equationOf(n);
    return operands.map((own, i) => (n.wants(i) ? operandGradient(b, n, { dY, operands, result, own, i }) : undefined));
  },
};

interface Operand extends Equation {
  readonly dY: string;
  readonly own: string;
  readonly i: number;
}

/** An index that only this operand has was summed away alone: its gradient is the same along it. */
function operandGradient(b: GradientBuilder, n: RuleNode, { dY, operands, result, own, i }: Operand): string {
  const others = operands.filter((_, k) => k !== i);
  const known = [...own].filter((c) => [result, ...others].some((indices) => indices.includes(c))).join('');
  const inputs = [dY, ...n.node.input.filter((_, k) => k !== i)];
  const gradient = b.op('Einsum', inputs, { equation: `${[result, ...others].join(',')}->${known}` });
  if (known === own) return gradient;
  const axes = [...own].flatMap((c, axis) => (known.includes(c) ? [] : [axis]));
  return b.op('Expand', [b.op('Unsqueeze', [gradient, b.ints(...axes)]), b.shape(n.x(i))]);
}

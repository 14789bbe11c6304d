// Operators whose results do not move when their inputs move a little, because they are no real numbers: sizes, places, truth values.
// Exporters compute shapes and masks with them from values that are trained. What rounds a real number (Round, Floor) is not here: a
// weight behind it would stand still without a word, so it is refused.
import { domainName } from '@tidegate/shared/onnx/inspect-model.js';
import type { NodeProto } from '@tidegate/shared/onnx/model-proto.js';

const DISCRETE: ReadonlySet<string> = new Set([
  ...[
    'Shape',
    'Size',
    'NonZero',
    'ArgMax',
    'ArgMin',
    'ConstantOfShape',
    'EyeLike',
    'RandomNormalLike',
    'RandomUniformLike',
  ],
  ...['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', 'IsNaN', 'IsInf', 'Not', 'And', 'Or', 'Xor'],
]);

/** FLOAT, FLOAT16, DOUBLE and BFLOAT16. */
const REAL: ReadonlySet<number> = new Set([1, 10, 11, 16]);

export function stopsGradients(node: NodeProto): boolean {
  if (domainName(node.domain) !== 'ai.onnx') return false;
  if (node.opType !== 'Cast') return DISCRETE.has(node.opType ?? '');
  const to = Number(node.attribute.find(({ name }) => name === 'to')?.i ?? 0n);
  return !REAL.has(to);
}

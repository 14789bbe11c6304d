// Resize is linear in its image, axis by axis: along each axis a matrix R multiplies, whatever the mode (nearest, linear, cubic) and
// however coordinates are transformed. R is what the node itself makes of the identity matrix, so dX = R^T dY needs no rule of its own
// for each mode.
import type { GradientBuilder } from './gradient-builder.js';
import type { GradientRule, RuleNode } from './gradient-rule.js';

/** Attributes that say how, and not where; Resize has them all since operator set 18. */
const HOW = ['mode', 'coordinate_transformation_mode', 'nearest_mode'] as const;

export const resize: GradientRule = {
  check: (n) => {
    if (n.ints('axes') !== undefined) n.refuse('stated axes');
    if (n.string('keep_aspect_ratio_policy', 'stretch') !== 'stretch') n.refuse('a kept aspect ratio');
    if (n.string('coordinate_transformation_mode', 'half_pixel') === 'tf_crop_and_resize') n.refuse('a region');
    if (scalesChannels(n)) n.refuse('scaled batches or channels');
  },
  backward: (b, n, dY) => {
    const rank = b.shapes.get(n.x(0))?.length ?? n.refuse('an image of unknown rank');
    if (rank < 3) n.refuse('an image without channels');
    let gradient = dY;
    for (let axis = rank - 1; axis >= 2; axis -= 1) {
      const R = matrixOf(b, n, axis);
      if (axis === rank - 1) {
        gradient = b.op('MatMul', [gradient, R]);
        continue;
      }
      const perm = Array.from({ length: rank }, (_, i) => BigInt(i === axis ? rank - 1 : i === rank - 1 ? axis : i));
      const last = b.op('MatMul', [b.op('Transpose', [gradient], { perm }), R]);
      gradient = b.op('Transpose', [last], { perm });
    }
    return [gradient];
  },
};

/** As far as scales are stated; where a graph is checked without its weights' files, what lies in them is zeros. */
function scalesChannels(n: RuleNode): boolean {
  const outer = n.stated(2)?.subarray(0, 2) ?? [];
  return outer.some((scale) => scale !== 1 && scale !== 0);
}

/** [size of Y, size of X] along an axis. */
function matrixOf(b: GradientBuilder, n: RuleNode, axis: number): string {
  const part = (value: string): string => b.op('Slice', [value, b.ints(axis), b.ints(axis + 1), b.ints(0)]);
  const size = b.dims(n.x(0), axis, axis + 1);
  const square = b.zeros(b.op('Concat', [size, size], { axis: 0n }));
  const identity = b.op('Unsqueeze', [b.op('EyeLike', [square]), b.ints(0, 1)]);
  const one = b.float(1, [2]);
  const target = n.has(3)
    ? [b.op('Concat', [b.ints(1, 1), part(n.x(3)), size], { axis: 0n })]
    : [b.op('Concat', [one, part(n.x(2)), b.float(1, [1])], { axis: 0n })];
  const inputs = n.has(3) ? [identity, '', '', ...target] : [identity, '', ...target];
  return b.op('Squeeze', [b.op('Resize', inputs, attributesOf(n)), b.ints(0, 1)]);
}

function attributesOf(n: RuleNode): Record<string, string | number | bigint> {
  const stated = HOW.map((name) => [name, n.string(name, '')] as const).filter(([, value]) => value !== '');
  const antialias = n.int('antialias', 0);
  return {
    ...Object.fromEntries(stated),
    ...(antialias === 0 ? {} : { antialias: BigInt(antialias) }),
    ...(n.string('mode', 'nearest') === 'cubic' ? { cubic_coeff_a: n.float('cubic_coeff_a', -0.75) } : {}),
    ...(n.int('exclude_outside', 0) === 0 ? {} : { exclude_outside: 1n }),
  };
}

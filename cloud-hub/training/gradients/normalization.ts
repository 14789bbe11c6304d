// Normalizations. With x' = (x - mean) * inv and g = dY * scale: dX = inv (g - mean(g) - x' mean(g x')) where the statistics
// come from x itself, and dX = inv g where they are frozen. LayerNormalization computes its statistics again; BatchNormalization
// keeps them.
import { makeAttribute, makeNode } from '@tidegate/shared/onnx/make-node.js';
import type { NodeProto } from '@tidegate/shared/onnx/model-proto.js';
import type { GradientBuilder } from './gradient-builder.js';
import type { GradientRule, RuleNode } from './gradient-rule.js';

interface Normalized {
  readonly hat: string;
  readonly inv: string;
  readonly mean: (value: string) => string;
}

function normalize(b: GradientBuilder, x: string, axes: string, epsilon: number): Normalized {
  const total = b.sum(x, axes);
  const count = b.ratio(x, total);
  const mean = (value: string): string => b.div(b.sum(value, axes), count);
  const centred = b.sub(x, b.div(total, count));
  const inv = inverse(b, mean(b.mul(centred, centred)), epsilon);
  return { hat: b.mul(centred, inv), inv, mean };
}

function inverse(b: GradientBuilder, variance: string, epsilon: number): string {
  return b.div(b.float(1), b.op('Sqrt', [b.add(variance, b.float(epsilon))]));
}

function throughStatistics(b: GradientBuilder, { hat, inv, mean }: Normalized, g: string): string {
  return b.mul(inv, b.sub(b.sub(g, mean(g)), b.mul(hat, mean(b.mul(g, hat)))));
}

export const layerNormalization: GradientRule = {
  backward: (b, n, dY) => {
    const [x, scale] = [n.x(0), n.x(1)];
    const axis = n.int('axis', -1);
    const axes =
      axis < 0
        ? b.ints(...Array.from({ length: -axis }, (_, i) => axis + i))
        : b.op('Range', [b.int(axis), b.op('Size', [b.shape(x)]), b.int(1)]);
    const state = normalize(b, x, axes, n.float('epsilon', 1e-5));
    return [
      n.wants(0) ? throughStatistics(b, state, b.mul(dY, scale)) : undefined,
      n.wants(1) ? b.sumTo(b.mul(dY, state.hat), scale, b.shapes.get(x)) : undefined,
      n.wants(2) ? b.sumTo(dY, n.x(2), b.shapes.get(x)) : undefined,
    ];
  },
};

/** [C] as [1, C, 1]: broadcasts with what is folded to [N, C, L]. */
function forChannels(b: GradientBuilder, value: string): string {
  return b.op('Reshape', [value, b.ints(1, -1, 1)]);
}

/** Sums of [N, C, L] for each channel, [C]. */
function ofChannels(b: GradientBuilder, folded: string): string {
  return b.op('ReduceSum', [folded, b.ints(0, 2)], { keepdims: 0n });
}

/** Each channel of each sample by its own statistics, then scale and shift [C]. */
export const instanceNormalization: GradientRule = {
  backward: (b, n, dY) => {
    const [x, scale] = [n.x(0), n.x(1)];
    const state = normalize(b, b.folded(x), b.ints(2), n.float('epsilon', 1e-5));
    const dy = b.folded(dY);
    const scaled = (): string => b.mul(dy, forChannels(b, scale));
    return [
      n.wants(0) ? b.reshapeLike(throughStatistics(b, state, scaled()), x) : undefined,
      n.wants(1) ? ofChannels(b, b.mul(dy, state.hat)) : undefined,
      n.wants(2) ? ofChannels(b, dy) : undefined,
    ];
  },
};

/**
 * Channels are axis 1; all other axes are summed over. With x' normalized, n elements for each channel and a = scale * inv:
 *   d shift = sum(dY),  d scale = sum(dY x') = inv (sum(dY x) - mean sum(dY)),  dX = a dY - (a / n) (d scale x' + d shift)
 * The last term is a normalization of X again, by the same statistics and with another scale and shift: one pass.
 */
export const batchNormalization: GradientRule = {
  check: (n) => {
    if (n.wants(3) || n.wants(4)) n.refuse('trained running statistics');
  },
  forward: (b, n) => (isTraining(n) ? withBatchStatistics(b, n) : n.node),
  backward: (b, n, dY) => {
    const [x, scale] = [n.x(0), n.x(1)];
    const [mean, variance] = isTraining(n) ? [n.y(1), n.y(2)] : [n.x(3), n.x(4)];
    const epsilon = n.float('epsilon', 1e-5);
    const inv = inverse(b, variance, epsilon);
    const dy = b.folded(dY);
    const needsSums = isTraining(n) || n.wants(1);
    const dShift = needsSums || n.wants(2) ? ofChannels(b, dy) : '';
    const dScale = needsSums ? b.mul(inv, b.sub(ofChannels(b, b.mul(dy, b.folded(x))), b.mul(mean, dShift))) : '';
    const a = b.mul(scale, inv);
    const image = (): string => {
      const direct = b.reshapeLike(b.mul(dy, forChannels(b, a)), x);
      if (!isTraining(n)) return direct;
      const share = b.op('Neg', [b.div(a, b.ratio(x, scale))]);
      const through = [x, b.mul(share, dScale), b.mul(share, dShift), mean, variance];
      return b.add(direct, b.op('BatchNormalization', through, { epsilon }));
    };
    return [n.wants(0) ? image() : undefined, n.wants(1) ? dScale : undefined, n.wants(2) ? dShift : undefined];
  },
};

function isTraining(n: RuleNode): boolean {
  return n.int('training_mode', 0) === 1;
}

/** With momentum 0 the node gives the batch's own mean and variance; what it gave before is computed from them. */
function withBatchStatistics(b: GradientBuilder, n: RuleNode): NodeProto {
  const momentum = n.float('momentum', 0.9);
  const batch = [1, 2].map((i) => {
    const name = b.name('statistics');
    const running = n.y(i);
    if (running !== '') {
      const kept = b.mul(n.x(i + 2), b.float(momentum));
      b.nodes.push(makeNode('Add', [kept, b.mul(name, b.float(1 - momentum))], [running]));
    }
    return name;
  });
  const attribute = n.node.attribute.filter(({ name }) => name !== 'momentum');
  return { ...n.node, output: [n.y(), ...batch], attribute: [...attribute, makeAttribute('momentum', 0)] };
}

// The window that a convolution or a pool moves over an image: how it steps, and how much is padded. `auto_pad` SAME pads by the
// image's size (ONNX, Conv: output = ceil(size / stride)), so its pads are values of the graph; stated ones are numbers.
import type { GradientBuilder } from './gradient-builder.js';
import type { RuleNode } from './gradient-rule.js';

export interface Window {
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly pads: readonly number[] | DynamicPads;
  readonly rank: number;
}

/** INT64 vectors, one element for each spatial axis. */
interface DynamicPads {
  readonly begin: string;
  readonly end: string;
}

export const big = (values: readonly number[]): bigint[] => values.map(BigInt);

/** `kernel`: its sizes as numbers, or as an INT64 vector of the graph where only that knows them. */
export function windowOf(b: GradientBuilder, n: RuleNode, rank: number, kernel: readonly number[] | string): Window {
  const ones = Array<number>(rank).fill(1);
  const strides = n.ints('strides') ?? ones;
  const dilations = n.ints('dilations') ?? ones;
  const auto = n.string('auto_pad', 'NOTSET');
  const stated = auto === 'VALID' ? undefined : n.ints('pads');
  const pads = auto.startsWith('SAME')
    ? samePads(b, n.x(0), { strides, dilations, kernel, isUpper: auto === 'SAME_UPPER' })
    : (stated ?? Array<number>(rank * 2).fill(0));
  return { strides, dilations, pads, rank };
}

interface SameWindow {
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly kernel: readonly number[] | string;
  readonly isUpper: boolean;
}

function samePads(b: GradientBuilder, X: string, { strides, dilations, kernel, isUpper }: SameWindow): DynamicPads {
  const size = b.spatial(X);
  const [step, one, two] = [b.ints(...strides), b.ints(1), b.ints(2)];
  const steps = b.div(b.sub(size, one), step); // all but the first: ceil(size / stride) - 1
  const sides = typeof kernel === 'string' ? kernel : b.ints(...kernel);
  const reach = b.add(b.mul(b.sub(sides, one), b.ints(...dilations)), one);
  const total = b.op('Max', [b.sub(b.add(b.mul(steps, step), reach), size), b.ints(0)]);
  const small = b.div(total, two);
  const large = b.sub(total, small);
  return isUpper ? { begin: small, end: large } : { begin: large, end: small };
}

/** The image with its padding, and the window that then pads nothing: where pads are no numbers, no attribute can hold them. */
export function withStaticPads(
  b: GradientBuilder,
  image: string,
  w: Window,
): { image: string; pads: readonly number[] } {
  if (!('begin' in w.pads)) return { image, pads: w.pads };
  const none = b.ints(0, 0);
  const sizes = b.op('Concat', [none, w.pads.begin, none, w.pads.end], { axis: 0n });
  return { image: b.op('Pad', [image, sizes]), pads: Array<number>(w.rank * 2).fill(0) };
}

/**
 * The transposed convolution of `dY`, with the spatial sizes of the node's X. Where the sizes are known, what no window reached is output padding. Else
 * the unpadded result covers all that the windows touched; a Pad with negative sizes then crops the padding and adds the rest.
 */
export function spread(b: GradientBuilder, dY: string, W: string, n: RuleNode, w: Window, group: number): string {
  const attributes = { strides: big(w.strides), dilations: big(w.dilations), group: BigInt(group) };
  const unreached = outputPadding(b, n, w);
  if (unreached !== undefined && !('begin' in w.pads)) {
    const exact = { ...attributes, pads: big(w.pads) };
    const isFull = unreached.every((size) => size === 0);
    return b.op('ConvTranspose', [dY, W], isFull ? exact : { ...exact, output_padding: big(unreached) });
  }
  const full = b.op('ConvTranspose', [dY, W], attributes);
  const begin = 'begin' in w.pads ? w.pads.begin : b.ints(...w.pads.slice(0, w.rank));
  const after = b.add(b.sub(b.spatial(n.x(0)), b.spatial(full)), begin);
  const none = b.ints(0, 0);
  return b.op('Pad', [full, b.op('Concat', [none, b.op('Neg', [begin]), none, after], { axis: 0n })]);
}

/** Elements at the end of each axis of X, padding included, that no window reached; undefined where that is not known. */
function outputPadding(b: GradientBuilder, n: RuleNode, w: Window): readonly number[] | undefined {
  const { pads, strides, rank } = w;
  if ('begin' in pads) return undefined;
  if (strides.every((s) => s === 1)) return strides.map(() => 0);
  const size = b.spatialSizes(n.x(0));
  const kernel = n.ints('kernel_shape') ?? b.spatialSizes(n.x(1));
  if (size?.length !== rank || kernel?.length !== rank || n.int('ceil_mode', 0) !== 0) return undefined;
  return size.map((s, i) => {
    const reach = (w.dilations[i] ?? 1) * ((kernel[i] ?? 1) - 1) + 1;
    return (s + (pads[i] ?? 0) + (pads[i + rank] ?? 0) - reach) % (strides[i] ?? 1);
  });
}

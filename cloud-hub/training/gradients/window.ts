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
 * The transposed convolution of `dY`, in the shape of `X`. The unpadded result covers all that the windows touched; a Pad
 * with negative sizes then crops the padding and adds what no window reached.
 */
export function spread(b: GradientBuilder, dY: string, W: string, X: string, w: Window, group: number): string {
  const attributes = { strides: big(w.strides), dilations: big(w.dilations), group: BigInt(group) };
  if (w.strides.every((s) => s === 1) && !('begin' in w.pads)) {
    return b.op('ConvTranspose', [dY, W], { ...attributes, pads: big(w.pads) });
  }
  const full = b.op('ConvTranspose', [dY, W], attributes);
  const begin = 'begin' in w.pads ? w.pads.begin : b.ints(...w.pads.slice(0, w.rank));
  const before = b.op('Concat', [b.ints(0, 0), begin], { axis: 0n });
  const after = b.add(b.sub(b.shape(X), b.shape(full)), before);
  return b.op('Pad', [full, b.op('Concat', [b.op('Neg', [before]), after], { axis: 0n })]);
}

// Requests that differ in a length, texts above all, share a run where the package allows it: shorter ones are lengthened to the
// longest of the run, and what the graph makes of them is cut back. Pure. Whether that changes the answers is for others to
// prove: the hub when a version is published (prove-padding.ts), the scheduler with the first such run.
import { cutAxis, padAxis } from '../tensor/pad-axis.js';
import { float32Of, type NamedTensor, type Tensor } from '../tensor/tensor.js';

export interface PaddingRule {
  /** Where model.yaml says so: `pipeline.1.ragged`. */
  readonly field: string;
  /** Of all of them the dimension `axis` has one length in a request. `element`: the bytes that fill it up. */
  readonly inputs: readonly { readonly name: string; readonly axis: number; readonly element: Uint8Array }[];
  /** Outputs that have that length too. */
  readonly outputs: readonly { readonly name: string; readonly axis: number }[];
  /** Largest difference of an element to what the request alone gets, in parts of the larger of the two and of 1. */
  readonly tolerance: number;
  /** Share of a run's elements that may be padding. */
  readonly maxWaste: number;
}

/** What the rule's inputs measure along their dimensions; undefined where they differ, or one is missing. */
export function lengthOf(feeds: readonly NamedTensor[], { inputs }: PaddingRule): number | undefined {
  let length: number | undefined;
  for (const { name, axis } of inputs) {
    const found = feeds.find((feed) => feed.name === name)?.shape[axis];
    if (found === undefined || found < 1 || (length !== undefined && found !== length)) return undefined;
    length = found;
  }
  return length;
}

/** Four to the octave: run times of lengths that differ by less than a quarter are measured as one. */
export function bucketOf(length: number): number {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(length)) - 2);
  return Math.ceil(length / step) * step;
}

export function padFeeds(feeds: readonly NamedTensor[], { inputs }: PaddingRule, length: number): NamedTensor[] {
  return feeds.map((feed) => {
    const rule = inputs.find(({ name }) => name === feed.name);
    return rule === undefined ? feed : padAxis(feed, rule.axis, length, rule.element);
  });
}

/** The outputs of a request of `length` from a run of `padded`; undefined where one doesn't have that length. */
export function cutOutputs(
  outputs: readonly NamedTensor[],
  rule: PaddingRule,
  padded: number,
  length: number,
): NamedTensor[] | undefined {
  const follows = (output: NamedTensor): boolean =>
    rule.outputs.every(({ name, axis }) => name !== output.name || output.shape[axis] === padded);
  if (!outputs.every(follows)) return undefined;
  return outputs.map((output) => {
    const cut = rule.outputs.find(({ name }) => name === output.name);
    return cut === undefined ? output : cutAxis(output, cut.axis, length);
  });
}

/** Why the outputs of a run that was padded are not those of the request alone; undefined where they are, within the tolerance. */
export function differenceBetween(
  alone: readonly NamedTensor[],
  padded: readonly NamedTensor[],
  tolerance: number,
): string | undefined {
  for (const want of alone) {
    const got = padded.find(({ name }) => name === want.name);
    if (got === undefined || got.shape.join() !== want.shape.join()) {
      return `output '${want.name}' has the shape [${got?.shape.join(', ') ?? ''}] in place of [${want.shape.join(', ')}]`;
    }
    const difference = largestDifference(want, got);
    if (difference <= tolerance) continue;
    return `output '${want.name}' differs by ${Number(difference.toPrecision(3))} (${tolerance} is allowed)`;
  }
  return undefined;
}

/** NaN where only one of them is a number; of datatypes that are no floats 0 or Infinity. */
function largestDifference(want: Tensor, got: Tensor): number {
  const [a, b] = [floatsOf(want), floatsOf(got)];
  if (a === undefined || b === undefined) return Buffer.compare(want.data, got.data) === 0 ? 0 : Infinity;
  let largest = 0;
  for (let at = 0; at < a.length; at += 1) {
    const [x, y] = [a[at]!, b[at]!];
    if (Object.is(x, y) || x === y) continue;
    const difference = Math.abs(x - y) / Math.max(1, Math.abs(x), Math.abs(y));
    if (!(difference <= largest)) largest = difference;
    if (Number.isNaN(largest)) return largest;
  }
  return largest;
}

function floatsOf(value: Tensor): ArrayLike<number> | undefined {
  const copy = (): ArrayBuffer => new Uint8Array(value.data).buffer;
  switch (value.datatype) {
    case 'FP32':
      return float32Of(value);
    case 'FP64':
      return new Float64Array(copy());
    case 'BF16':
      return new Float32Array(Uint32Array.from(new Uint16Array(copy()), (bits) => bits << 16).buffer);
    case 'FP16':
      return Float32Array.from(new Uint16Array(copy()), fromHalf);
    default:
      return undefined;
  }
}

function fromHalf(bits: number): number {
  const [sign, exponent, fraction] = [bits >> 15 === 0 ? 1 : -1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}

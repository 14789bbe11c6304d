// Rows: the first dimension, by which equal requests share a run. Feeds of several requests are concatenated, outputs are
// split again as views of the run's own buffers. A graph can batch when each of its inputs and outputs has a dynamic first
// dimension.
import { bytesOf, float32Of, type NamedTensor, type TensorSpec } from '../tensor/tensor.js';
import { bucketOf, lengthOf, padFeeds, type PaddingRule } from './padding-rule.js';
import type { RunShape } from './run-times.js';

export function canBatch(inputs: readonly TensorSpec[], outputs: readonly TensorSpec[]): boolean {
  return [...inputs, ...outputs].every((spec) => spec.shape.length > 0 && (spec.shape[0] ?? 0) < 0);
}

/** Rows of a request's feeds; undefined where they disagree or there are none (it then runs alone). */
export function rowsOf(feeds: readonly NamedTensor[]): number | undefined {
  const rows = feeds[0]?.shape[0];
  if (rows === undefined || rows < 1 || feeds.some((feed) => feed.shape[0] !== rows)) return undefined;
  return rows;
}

/**
 * What may share a run: equal names, datatypes, shapes without rows, and equal wanted outputs. With a rule also what differs in
 * its length only.
 */
export function shapeOf(
  feeds: readonly NamedTensor[],
  outputs: readonly string[],
  rows: number | undefined,
  rule?: PaddingRule,
): RunShape {
  const length = rule === undefined || rows === undefined ? undefined : lengthOf(feeds, rule);
  if (rule !== undefined && length !== undefined) return raggedShape(feeds, outputs, rule, length);
  const parts = feeds.map((feed) => [
    feed.name,
    feed.datatype,
    ...(rows === undefined ? feed.shape : feed.shape.slice(1)),
  ]);
  const bytes = feeds.reduce((sum, feed) => sum + feed.data.byteLength, 0);
  return { key: JSON.stringify([parts, outputs]), rowBytes: Math.max(1, bytes / (rows ?? 1)) };
}

function raggedShape(
  feeds: readonly NamedTensor[],
  outputs: readonly string[],
  { inputs }: PaddingRule,
  length: number,
): RunShape {
  const parts = feeds.map(({ name, datatype, shape }) => {
    const axis = inputs.find((input) => input.name === name)?.axis;
    return [name, datatype, ...shape.map((size, at) => (at === axis ? -1 : size)).slice(1)];
  });
  const family = JSON.stringify([parts, outputs]);
  const bytes = feeds.reduce((sum, feed) => sum + feed.data.byteLength, 0);
  const rowBytes = Math.max(1, bytes / (feeds[0]?.shape[0] ?? 1));
  return { key: `${bucketOf(length)} ${family}`, rowBytes, ragged: { family, length } };
}

/** As concatRows, of requests that `rule` lengthens to `length`. */
export function concatRagged(
  requests: readonly (readonly NamedTensor[])[],
  rule: PaddingRule,
  length: number,
): NamedTensor[] {
  return concatRows(requests.map((feeds) => padFeeds(feeds, rule, length)));
}

/** One request's feeds after the other's, along the first dimension. All have the same names in the same order. */
export function concatRows(requests: readonly (readonly NamedTensor[])[]): NamedTensor[] {
  const first = requests[0] ?? [];
  return first.map((feed, i) => {
    const parts = requests.map((feeds) => feeds[i] ?? feed);
    const rows = parts.reduce((sum, part) => sum + (part.shape[0] ?? 0), 0);
    return { ...feed, shape: [rows, ...feed.shape.slice(1)], data: Buffer.concat(parts.map((part) => part.data)) };
  });
}

/** The outputs of each request, or undefined where an output does not have one row per row that went in. */
export function splitRows(outputs: readonly NamedTensor[], rows: readonly number[]): NamedTensor[][] | undefined {
  const total = rows.reduce((sum, count) => sum + count, 0);
  const split: NamedTensor[][] = rows.map(() => []);
  for (const output of outputs) {
    if (output.shape[0] !== total) return undefined;
    const bounds = output.datatype === 'BYTES' ? bytesBounds(output, total) : fixedBounds(output, total);
    if (bounds === undefined) return undefined;
    let row = 0;
    rows.forEach((count, i) => {
      const data = output.data.subarray(bounds(row), bounds(row + count));
      split[i]?.push({ ...output, shape: [count, ...output.shape.slice(1)], data });
      row += count;
    });
  }
  return split;
}

function fixedBounds(output: NamedTensor, total: number): (row: number) => number {
  const rowBytes = output.data.byteLength / total;
  return (row) => row * rowBytes;
}

/** Offsets of rows in length-prefixed elements; undefined where the data are not well formed. */
function bytesBounds(output: NamedTensor, total: number): ((row: number) => number) | undefined {
  const perRow = output.shape.slice(1).reduce((product, dimension) => product * dimension, 1);
  const view = new DataView(output.data.buffer, output.data.byteOffset, output.data.byteLength);
  const offsets = [0];
  let at = 0;
  for (let element = 0; element < total * perRow; element += 1) {
    if (at + 4 > view.byteLength) return undefined;
    at += 4 + view.getUint32(at, true);
    if ((element + 1) % perRow === 0) offsets.push(at);
  }
  if (at !== view.byteLength) return undefined;
  return (row) => offsets[row] ?? at;
}

/** Kernels may sum in another order for other sizes; a graph that mixes rows is off by far more. */
const TOLERANCE = 1e-2;

/** Are the outputs equal, floats within a tolerance? FP16 and BF16 are compared by their first bits (sign, exponent). */
export function sameOutputs(a: readonly NamedTensor[], b: readonly NamedTensor[]): boolean {
  return a.length === b.length && a.every((tensor, i) => sameTensor(tensor, b[i]));
}

function sameTensor(a: NamedTensor, b: NamedTensor | undefined): boolean {
  if (b === undefined || a.name !== b.name || a.data.byteLength !== b.data.byteLength) return false;
  if (a.datatype === 'FP32') return close(float32Of(a), float32Of(b));
  if (a.datatype === 'FP64')
    return close(new Float64Array(new Uint8Array(a.data).buffer), new Float64Array(new Uint8Array(b.data).buffer));
  if (a.datatype === 'FP16' || a.datatype === 'BF16')
    return a.data.every((byte, i) => i % 2 === 0 || near(byte, b.data[i]));
  return Buffer.compare(bytesOf(a.data), bytesOf(b.data)) === 0;
}

function close(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  for (let i = 0; i < a.length; i += 1) {
    const x = a[i] ?? 0;
    const y = b[i] ?? 0;
    if (Object.is(x, y)) continue;
    if (!(Math.abs(x - y) <= TOLERANCE * Math.max(1, Math.abs(x), Math.abs(y)))) return false;
  }
  return true;
}

function near(byte: number, other: number | undefined): boolean {
  return Math.abs(byte - (other ?? 0)) <= 1;
}

// The rows that a profile runs: one row from the package's first golden, as the pipeline gives it to the graph, or one made
// up from the graph's signature. A batch is that row repeated; what a run costs depends on the shape, seldom on the numbers.
import type { Random } from '@tidegate/shared/system/random.js';
import { ELEMENT_SIZE_BYTES } from '@tidegate/shared/tensor/datatype.js';
import { bytesOf, sizeBytes, tensor, type NamedTensor, type TensorSpec } from '@tidegate/shared/tensor/tensor.js';

export class ProfileRowsError extends Error {
  override readonly name = 'ProfileRowsError';
}

/** May rows share a run: every input and output has a dynamic first dimension. */
export function takesBatches(inputs: readonly TensorSpec[], outputs: readonly TensorSpec[]): boolean {
  return [...inputs, ...outputs].every(({ shape }) => shape[0] === -1);
}

/**
 * One row for each input. `shapes` fills dynamic dimensions by input name; without one, a dynamic first dimension is 1.
 * Throws ProfileRowsError naming the input where another dimension stays open, or for text (BYTES), which can't be made up.
 */
export function makeRow(
  inputs: readonly TensorSpec[],
  shapes: ReadonlyMap<string, readonly number[]>,
  random: Random,
): NamedTensor[] {
  return inputs.map(({ name, datatype, shape: declared }) => {
    const shape = shapes.get(name) ?? declared.map((size, index) => (index === 0 && size < 0 ? 1 : size));
    const fits = shape.length === declared.length && declared.every((size, i) => size < 0 || size === shape[i]);
    if (!fits) {
      throw new ProfileRowsError(`input '${name}' has the shape [${declared.join(', ')}], not [${shape.join(', ')}]`);
    }
    const size = sizeBytes(datatype, shape);
    if (size === undefined) {
      const example = declared.map((one) => (one < 0 ? 1 : one)).join('x');
      throw new ProfileRowsError(
        datatype === 'BYTES'
          ? `input '${name}' takes text, which can't be made up: give the package goldens`
          : `input '${name}' has the shape [${declared.join(', ')}]; say which with --shape ${name}=${example}`,
      );
    }
    return tensor(name, datatype, shape, fill(datatype, size, random));
  });
}

/** Numbers between 0 and 1 for floats; zeros, which are valid indexes, for integers. */
function fill(datatype: NamedTensor['datatype'], size: number, random: Random): Uint8Array {
  const count = size / ELEMENT_SIZE_BYTES[datatype];
  if (datatype === 'FP32') return bytesOf(Float32Array.from({ length: count }, () => random.next()));
  if (datatype === 'FP64') return bytesOf(Float64Array.from({ length: count }, () => random.next()));
  return new Uint8Array(size);
}

/** The first row of what a golden gave the graph. */
export function firstRow(feeds: readonly NamedTensor[]): NamedTensor[] {
  return feeds.map((feed) => {
    const [rows = 1, ...rest] = feed.shape;
    if (feed.shape.length === 0 || rows <= 1 || feed.datatype === 'BYTES') return feed;
    return { ...feed, shape: [1, ...rest], data: feed.data.subarray(0, feed.data.byteLength / rows) };
  });
}

/** The row `batch` times along the first dimension. */
export function repeatRow(row: readonly NamedTensor[], batch: number): NamedTensor[] {
  if (batch === 1) return [...row];
  return row.map((feed) => {
    const [rows = 1, ...rest] = feed.shape;
    const size = feed.data.byteLength;
    const data = new Uint8Array(size * batch);
    for (let index = 0; index < batch; index += 1) data.set(feed.data, index * size);
    return { ...feed, shape: [rows * batch, ...rest], data };
  });
}

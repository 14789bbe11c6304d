// A request's row that is made up from a model's signature, to see how long it computes: what a run costs depends on the shape,
// seldom on the numbers.
import type { Random } from '../system/random.js';
import { ELEMENT_SIZE_BYTES } from '../tensor/datatype.js';
import { bytesOf, sizeBytes, tensor, type NamedTensor, type TensorSpec } from '../tensor/tensor.js';

export class MadeUpRowError extends Error {
  override readonly name = 'MadeUpRowError';
}

/**
 * One row for each input. `shapes` fills dynamic dimensions by input name; without one, a dynamic first dimension is 1.
 * Throws MadeUpRowError naming the input where another dimension stays open, or for text (BYTES), which can't be made up.
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
      throw new MadeUpRowError(`input '${name}' has the shape [${declared.join(', ')}], not [${shape.join(', ')}]`);
    }
    const size = sizeBytes(datatype, shape);
    if (size === undefined) {
      const example = declared.map((one) => (one < 0 ? 1 : one)).join('x');
      throw new MadeUpRowError(
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

// A tensor as it travels: datatype, shape and the raw little-endian bytes of the binary tensor extension. One form
// everywhere (wire, cache key, executor frames), so that nothing is converted on the way and equality is equality of bytes.
import { ELEMENT_SIZE_BYTES, type Datatype } from './datatype.js';

export interface Tensor {
  readonly datatype: Datatype;
  /** Row-major; every dimension >= 0. */
  readonly shape: readonly number[];
  /** Little-endian elements; BYTES: per element a u32 length, then the bytes. */
  readonly data: Uint8Array;
}

export interface NamedTensor extends Tensor {
  readonly name: string;
}

/** What a model declares of an input or output. A dimension of -1 is dynamic. */
export interface TensorSpec {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
}

/** Elements in a shape (1 for a scalar). Undefined where a dimension is no integer >= 0 or the product passes 2^53 - 1. */
export function elementCount(shape: readonly number[]): number | undefined {
  let count = 1;
  for (const dimension of shape) {
    if (!Number.isSafeInteger(dimension) || dimension < 0) return undefined;
    count *= dimension;
    if (!Number.isSafeInteger(count)) return undefined;
  }
  return count;
}

/** Bytes that a shape of a fixed-size datatype takes; undefined for BYTES and for shapes that elementCount refuses. */
export function sizeBytes(datatype: Datatype, shape: readonly number[]): number | undefined {
  const count = elementCount(shape);
  const size = ELEMENT_SIZE_BYTES[datatype];
  if (count === undefined || size === 0) return undefined;
  const total = count * size;
  return Number.isSafeInteger(total) ? total : undefined;
}

/** Does a concrete shape satisfy a declared one (-1 = any)? */
export function shapeMatches(declared: readonly number[], actual: readonly number[]): boolean {
  return declared.length === actual.length && declared.every((d, i) => d < 0 || d === actual[i]);
}

/**
 * The shape that so many elements take where only their number is known: the innermost dynamic dimension (-1) has what the
 * fixed ones leave, the other dynamic ones are 1. Undefined where they fill none.
 */
export function fitShape(declared: readonly number[], count: number): number[] | undefined {
  const open = declared.lastIndexOf(-1);
  const shape = declared.map((dimension) => (dimension < 0 ? 1 : dimension));
  const fixed = elementCount(shape);
  if (open < 0 || fixed === 0) return fixed === count ? shape : undefined;
  if (fixed === undefined || !Number.isSafeInteger(count / fixed)) return undefined;
  shape[open] = count / fixed;
  return shape;
}

export function tensor(name: string, datatype: Datatype, shape: readonly number[], data: Uint8Array): NamedTensor {
  return { name, datatype, shape, data };
}

/** The bytes of any typed array, without a copy. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** FP32 elements of a tensor; copies only where the bytes are not aligned to 4. */
export function float32Of(value: Tensor): Float32Array {
  const { data } = value;
  if (data.byteOffset % 4 === 0) return new Float32Array(data.buffer, data.byteOffset, data.byteLength / 4);
  return new Float32Array(new Uint8Array(data).buffer); // not data.slice(): of a Buffer that is no copy
}

// Lengthening and cutting a tensor along one dimension, at its end. Pure.
import { ELEMENT_SIZE_BYTES } from './datatype.js';
import { elementCount, type Tensor } from './tensor.js';

/** Filled up with `element`, the bytes of one; of a datatype of fixed size. The tensor itself where it has that length. */
export function padAxis<T extends Tensor>(given: T, axis: number, length: number, element: Uint8Array): T {
  const before = given.shape[axis] ?? 0;
  if (before === length) return given;
  const { outer, inner } = around(given, axis);
  const data = new Uint8Array(outer * length * inner);
  if (element.some((byte) => byte !== 0)) fill(data, element);
  for (let row = 0; row < outer; row += 1) {
    data.set(given.data.subarray(row * before * inner, (row + 1) * before * inner), row * length * inner);
  }
  return resized(given, axis, length, data);
}

/** Without what is beyond `length`. The tensor itself where it has that length. */
export function cutAxis<T extends Tensor>(given: T, axis: number, length: number): T {
  const before = given.shape[axis] ?? 0;
  if (before === length) return given;
  const { outer, inner } = around(given, axis);
  const data = new Uint8Array(outer * length * inner);
  for (let row = 0; row < outer; row += 1) {
    const start = row * before * inner;
    data.set(given.data.subarray(start, start + length * inner), row * length * inner);
  }
  return resized(given, axis, length, data);
}

/** How often the dimension occurs, and the bytes of one step along it. */
function around({ shape, datatype }: Tensor, axis: number): { outer: number; inner: number } {
  const inner = (elementCount(shape.slice(axis + 1)) ?? 0) * ELEMENT_SIZE_BYTES[datatype];
  return { outer: elementCount(shape.slice(0, axis)) ?? 0, inner };
}

function resized<T extends Tensor>(given: T, axis: number, length: number, data: Uint8Array): T {
  return { ...given, shape: given.shape.map((size, at) => (at === axis ? length : size)), data };
}

function fill(data: Uint8Array, element: Uint8Array): void {
  data.set(element.subarray(0, data.byteLength));
  for (let done = element.byteLength; done < data.byteLength; done *= 2) {
    data.copyWithin(done, 0, Math.min(done, data.byteLength - done));
  }
}

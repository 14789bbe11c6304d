// Typed views on a tensor's bytes. The bytes of a request begin wherever its JSON ended, so a view is taken where the
// alignment allows it and a copy is made only where it doesn't. Little-endian hosts only, as Node's own builds are.
import type { Datatype } from './datatype.js';
import type { Tensor } from './tensor.js';

type NumberElements =
  Uint8Array | Uint16Array | Uint32Array | Int8Array | Int16Array | Int32Array | Float32Array | Float64Array;
type Elements = NumberElements | BigInt64Array | BigUint64Array;

interface ElementsConstructor {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): Elements;
}

/** FP16 and BF16 as their 16 raw bits. BYTES has no typed array. */
const CONSTRUCTOR: Readonly<Record<Exclude<Datatype, 'BYTES'>, ElementsConstructor>> = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
  BF16: Uint16Array,
};

/** The elements of a tensor of any fixed-size datatype; a view where the bytes are aligned, otherwise a copy. */
export function elementsOf(datatype: Exclude<Datatype, 'BYTES'>, data: Tensor['data']): Elements {
  const constructor = CONSTRUCTOR[datatype];
  const length = Math.floor(data.byteLength / constructor.BYTES_PER_ELEMENT);
  if (data.byteOffset % constructor.BYTES_PER_ELEMENT === 0) {
    return new constructor(data.buffer, data.byteOffset, length);
  }
  return new constructor(new Uint8Array(data).buffer, 0, length);
}

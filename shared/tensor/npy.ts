// Tensors as .npy files (numpy's format, version 1.0), so that what isn't a picture can be opened by everybody: a magic number, a header
// that is a Python dict literal padded to 64 bytes, then the elements, row-major. BYTES and BF16 have no numpy type.
import type { Datatype } from './datatype.js';
import { sizeBytes, type Tensor } from './tensor.js';

const MAGIC = Buffer.from('\x93NUMPY\x01\x00', 'latin1');
/** magic, version, u16 length of the header */
const PREFIX_BYTES = 10;
const ALIGNMENT = 64;

const TYPES: Partial<Record<Datatype, string>> = {
  BOOL: '|b1',
  UINT8: '|u1',
  UINT16: '<u2',
  UINT32: '<u4',
  UINT64: '<u8',
  INT8: '|i1',
  INT16: '<i2',
  INT32: '<i4',
  INT64: '<i8',
  FP16: '<f2',
  FP32: '<f4',
  FP64: '<f8',
};
const BY_TYPE = new Map(Object.entries(TYPES).map(([datatype, type]) => [type, datatype as Datatype]));

/** Undefined for BYTES and BF16. */
export function encodeNpy({ datatype, shape, data }: Tensor): Uint8Array | undefined {
  const type = TYPES[datatype];
  if (type === undefined) return undefined;
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const dict = `{'descr': '${type}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const unpadded = PREFIX_BYTES + dict.length + 1;
  const header = Buffer.from(`${dict}${' '.repeat((ALIGNMENT - (unpadded % ALIGNMENT)) % ALIGNMENT)}\n`, 'latin1');
  const length = Buffer.alloc(2);
  length.writeUInt16LE(header.byteLength);
  return Buffer.concat([MAGIC, length, header, data]);
}

/** Throws RangeError that says what is wrong: no .npy of version 1.0, a type that tensors haven't got, Fortran's order, a wrong size. */
export function decodeNpy(file: Uint8Array): Tensor {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (bytes.byteLength < PREFIX_BYTES || !bytes.subarray(0, MAGIC.byteLength).equals(MAGIC)) {
    throw new RangeError('is no .npy file of version 1.0');
  }
  const start = PREFIX_BYTES + bytes.readUInt16LE(MAGIC.byteLength);
  const header = bytes.subarray(PREFIX_BYTES, start).toString('latin1');
  const match =
    /^\{\s*'descr':\s*'([^']{1,8})',\s*'fortran_order':\s*(True|False)\s*,\s*'shape':\s*\(([0-9, ]*)\),?\s*\}\s*$/.exec(
      header,
    );
  const [, type = '', fortran, dimensions = ''] = match ?? [];
  if (match === null) throw new RangeError('has a header that can’t be read');
  const datatype = BY_TYPE.get(type);
  if (datatype === undefined) throw new RangeError(`holds elements of the type ${type}, which no tensor has`);
  if (fortran === 'True') throw new RangeError('is in Fortran’s order; save it with numpy.ascontiguousarray');
  const shape = dimensions
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '')
    .map(Number);
  const data = file.subarray(start);
  if (sizeBytes(datatype, shape) !== data.byteLength) {
    throw new RangeError(`has ${data.byteLength} bytes of elements, which do not fit [${shape.join(', ')}]`);
  }
  return { datatype, shape, data };
}

// The elements of a TensorProto. Four places may hold them: raw bytes, a typed field, strings, another file. `rawBytesOf` gives
// one form for all numeric types, the little-endian bytes; without a copy where they are raw already.
import { elementCount } from '../tensor/tensor.js';
import { isExternal } from './external-data.js';
import type { TensorProto } from './model-proto.js';
import { OnnxError } from './onnx-error.js';

/** TensorProto.DataType by number: bits of one element; strings have none. */
const ELEMENT_BITS: Readonly<Record<number, number>> = {
  1: 32, // FLOAT
  2: 8, // UINT8
  3: 8, // INT8
  4: 16, // UINT16
  5: 16, // INT16
  6: 32, // INT32
  7: 64, // INT64
  9: 8, // BOOL
  10: 16, // FLOAT16
  11: 64, // DOUBLE
  12: 32, // UINT32
  13: 64, // UINT64
  14: 64, // COMPLEX64
  15: 128, // COMPLEX128
  16: 16, // BFLOAT16
  17: 8, // FLOAT8E4M3FN
  18: 8, // FLOAT8E4M3FNUZ
  19: 8, // FLOAT8E5M2
  20: 8, // FLOAT8E5M2FNUZ
  21: 4, // UINT4
  22: 4, // INT4
  23: 4, // FLOAT4E2M1
  24: 8, // FLOAT8E8M0
  25: 2, // UINT2
  26: 2, // INT2
};

const STRING = 8;

type TypedField = 'floatData' | 'int32Data' | 'int64Data' | 'doubleData' | 'uint64Data';

/** Which typed field holds a data type, and how many of its elements one tensor element takes (two for complex numbers). */
function typedFieldOf(dataType: number): { readonly field: TypedField; readonly perElement: number } {
  if (dataType === 1 || dataType === 14) return { field: 'floatData', perElement: dataType === 14 ? 2 : 1 };
  if (dataType === 11 || dataType === 15) return { field: 'doubleData', perElement: dataType === 15 ? 2 : 1 };
  if (dataType === 7) return { field: 'int64Data', perElement: 1 };
  if (dataType === 12 || dataType === 13) return { field: 'uint64Data', perElement: 1 };
  return { field: 'int32Data', perElement: 1 };
}

/** Bytes that the tensor's elements take. Throws OnnxError `bad-tensor`; undefined for strings. */
export function tensorSizeBytes(tensor: TensorProto, where: string): number | undefined {
  const count = elementCount(tensor.dims);
  if (count === undefined)
    throw new OnnxError('bad-tensor', `impossible dimensions [${tensor.dims.join(', ')}]`, where);
  const dataType = tensor.dataType ?? 0;
  if (dataType === STRING) return undefined;
  const bits = ELEMENT_BITS[dataType];
  if (bits === undefined) throw new OnnxError('bad-tensor', `unknown element type ${dataType}`, where);
  const size = bits >= 8 ? count * (bits / 8) : Math.ceil(count / (8 / bits));
  if (!Number.isSafeInteger(size)) throw new OnnxError('bad-tensor', 'its size passes 2^53 bytes', where);
  return size;
}

/** Checks that dimensions, element type and data agree. Throws OnnxError `bad-tensor`. */
export function checkTensorData(tensor: TensorProto, where: string): void {
  const size = tensorSizeBytes(tensor, where);
  const filled = (['floatData', 'int32Data', 'int64Data', 'doubleData', 'uint64Data', 'stringData'] as const).filter(
    (name) => tensor[name].length > 0,
  );
  if (isExternal(tensor)) {
    if (size === undefined) throw new OnnxError('bad-tensor', 'strings can not be external data', where);
    if (tensor.rawData !== undefined || filled.length > 0)
      throw new OnnxError('bad-tensor', 'data both here and external', where);
    return;
  }
  if (tensor.rawData !== undefined) {
    if (size === undefined) throw new OnnxError('bad-tensor', 'strings can not be raw data', where);
    if (filled.length > 0) throw new OnnxError('bad-tensor', `data both raw and in ${filled[0]}`, where);
    if (tensor.rawData.byteLength === size) return;
    const shape = `[${tensor.dims.join(', ')}]`;
    throw new OnnxError(
      'bad-tensor',
      `${tensor.rawData.byteLength} bytes of data, its shape ${shape} needs ${size}`,
      where,
    );
  }
  const count = elementCount(tensor.dims) ?? 0;
  const { field, perElement } = typedFieldOf(tensor.dataType ?? 0);
  const name = size === undefined ? 'stringData' : field;
  const bits = ELEMENT_BITS[tensor.dataType ?? 0] ?? 8;
  // Types below 8 bits come packed, several in each element of int32_data.
  const needed = size === undefined ? count : bits < 8 ? size : count * perElement;
  if (filled.some((other) => other !== name))
    throw new OnnxError('bad-tensor', `data in ${filled.join(' and ')}`, where);
  if (tensor[name].length !== needed) {
    throw new OnnxError(
      'bad-tensor',
      `${tensor[name].length} elements, its shape [${tensor.dims.join(', ')}] needs ${needed}`,
      where,
    );
  }
}

/**
 * The elements as little-endian bytes. Raw data come as they are, a view. Throws OnnxError `unsupported` for strings and
 * external data, `bad-tensor` where the data contradict the dimensions.
 */
export function rawBytesOf(tensor: TensorProto, where: string): Uint8Array {
  checkTensorData(tensor, where);
  if (isExternal(tensor)) throw new OnnxError('unsupported', 'its data lie in another file', where);
  if (tensor.rawData !== undefined) return tensor.rawData;
  const size = tensorSizeBytes(tensor, where);
  if (size === undefined) throw new OnnxError('unsupported', 'strings have no raw form', where);
  const { field } = typedFieldOf(tensor.dataType ?? 0);
  return narrowed(tensor[field], size);
}

/** Elements of a typed field in the width that their data type has: int32_data also holds bytes, halves, booleans. */
function narrowed(values: TensorProto[TypedField], size: number): Uint8Array {
  const width = values.length === 0 ? 0 : Math.floor(size / values.length);
  const source = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  if (width >= values.BYTES_PER_ELEMENT) return source;
  const out = new Uint8Array(size);
  for (let i = 0; i < values.length; i += 1) {
    const at = i * values.BYTES_PER_ELEMENT;
    out.set(source.subarray(at, at + width), i * width);
  }
  return out;
}

/** FP32 elements of a FLOAT tensor; a view where the bytes are aligned. Throws as `rawBytesOf`. */
export function floatsOf(tensor: TensorProto, where: string): Float32Array {
  if (tensor.dataType !== 1)
    throw new OnnxError('unsupported', `element type ${tensor.dataType ?? 0} is not FLOAT`, where);
  const raw = rawBytesOf(tensor, where);
  const aligned = raw.byteOffset % 4 === 0 ? raw : new Uint8Array(raw);
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}

/** A tensor of raw bytes. */
export function makeTensor(name: string, dataType: number, dims: readonly number[], rawData: Uint8Array): TensorProto {
  return {
    dims,
    dataType,
    floatData: new Float32Array(0),
    int32Data: new Int32Array(0),
    stringData: [],
    int64Data: new BigInt64Array(0),
    name,
    rawData,
    doubleData: new Float64Array(0),
    uint64Data: new BigUint64Array(0),
    externalData: [],
    metadataProps: [],
  };
}

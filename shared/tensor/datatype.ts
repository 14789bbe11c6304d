// The datatypes of the Open Inference Protocol v2 (rest specification, "Tensor Data Types"; BF16 from Triton's
// binary data extension), their sizes, and their numbers in ONNX's TensorProto.DataType.

export const DATATYPES = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'FP32',
  'FP64',
  'BF16',
  'BYTES',
] as const;

export type Datatype = (typeof DATATYPES)[number];

/** Bytes per element; 0 for BYTES, whose elements are length-prefixed and of any size. */
export const ELEMENT_SIZE_BYTES: Readonly<Record<Datatype, number>> = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  FP32: 4,
  FP64: 8,
  BF16: 2,
  BYTES: 0,
};

/** TensorProto.DataType of onnx.proto3, equal to ONNXTensorElementDataType of onnxruntime_c_api.h. */
export const ONNX_TYPE: Readonly<Record<Datatype, number>> = {
  FP32: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  BYTES: 8,
  BOOL: 9,
  FP16: 10,
  FP64: 11,
  UINT32: 12,
  UINT64: 13,
  BF16: 16,
};

const BY_ONNX_TYPE = new Map<number, Datatype>(DATATYPES.map((datatype) => [ONNX_TYPE[datatype], datatype]));

/** The protocol's datatype of an ONNX element type; undefined where the protocol has none (complex, float8, int4). */
export function datatypeOfOnnx(elementType: number): Datatype | undefined {
  return BY_ONNX_TYPE.get(elementType);
}

export function isDatatype(value: unknown): value is Datatype {
  return typeof value === 'string' && (DATATYPES as readonly string[]).includes(value);
}

// Tensors to and from OrtValues. Inputs are used where they lie (no copy) unless misaligned; outputs are copied out once and
// their OrtValue released at once, so that no native memory outlives a run. BYTES elements keep every byte, NULs included.
import { addressOf, memoryAt, wordArray, type Ort } from './table.js';
import type { CopyOutput } from '../../engine.js';
import { decodeBytes } from '../../../tensor/bytes.js';
import { datatypeOfOnnx, ELEMENT_SIZE_BYTES, ONNX_TYPE } from '../../../tensor/datatype.js';
import { sizeBytes, type Tensor } from '../../../tensor/tensor.js';

export interface InputValue {
  readonly value: bigint;
  /** What must not be collected while the value is in use. */
  readonly held: unknown;
}

/** What every value needs: memory description of the CPU and the default allocator. */
export interface ValueContext {
  readonly ort: Ort;
  readonly cpuMemory: bigint;
  readonly allocator: bigint;
}

/** An OrtValue with memory of its own, filled with a copy. The tensor must have passed feed-check. */
export function ownedValue(context: ValueContext, tensor: Tensor): bigint {
  if (tensor.datatype === 'BYTES') return inputValue(context, tensor).value;
  const { ort } = context;
  const shape = shapeWords(tensor);
  const type = ONNX_TYPE[tensor.datatype];
  const value = ort.make('CreateTensorAsOrtValue', context.allocator, shape, tensor.shape.length, type);
  if (tensor.data.byteLength > 0) {
    memoryAt(ort.make('GetTensorMutableData', value), tensor.data.byteLength).set(tensor.data);
  }
  return value;
}

function shapeWords(tensor: Tensor): BigUint64Array {
  const shape = wordArray(tensor.shape.length);
  tensor.shape.forEach((dimension, i) => (shape[i] = BigInt(dimension)));
  return shape;
}

/** An OrtValue over the tensor's own bytes; BYTES are copied. The tensor must have passed feed-check. */
export function inputValue(context: ValueContext, tensor: Tensor): InputValue {
  const { ort } = context;
  const shape = shapeWords(tensor);
  const rank = tensor.shape.length;
  const type = ONNX_TYPE[tensor.datatype];
  if (tensor.datatype === 'BYTES') {
    const value = ort.make('CreateTensorAsOrtValue', context.allocator, shape, rank, type);
    (decodeBytes(tensor.data) ?? []).forEach((element, i) => {
      const buffer = ort.make('GetResizedStringTensorElementBuffer', value, i, element.byteLength);
      if (element.byteLength > 0) memoryAt(buffer, element.byteLength).set(element);
    });
    return { value, held: undefined };
  }
  const data = nativeData(tensor.data, ELEMENT_SIZE_BYTES[tensor.datatype]);
  const value = ort.make('CreateTensorWithDataAsOrtValue', context.cpuMemory, data, data.byteLength, shape, rank, type);
  return { value, held: data };
}

/** The bytes where a kernel may read them: aligned to the element and never empty, so that there is an address. */
function nativeData(data: Uint8Array, elementBytes: number): Uint8Array {
  if (data.byteLength === 0) return new Uint8Array(new ArrayBuffer(8), 0, 0);
  return addressOf(data) % BigInt(elementBytes) === 0n ? data : new Uint8Array(data);
}

/** Copies an output out, by `copy` unless it is BYTES. The value stays the caller's to release. */
export function outputTensor({ ort }: ValueContext, value: bigint, copy: CopyOutput = ownCopy): Tensor {
  const info = ort.make('GetTensorTypeAndShape', value);
  let elementType: number;
  let shape: number[];
  try {
    elementType = ort.number('GetTensorElementType', info);
    shape = dimensionsOf(ort, info);
  } finally {
    ort.release('ReleaseTensorTypeAndShapeInfo', info);
  }
  const datatype = datatypeOfOnnx(elementType);
  if (datatype === undefined)
    throw new Error(`an output has the element type ${elementType}, which the protocol has not`);
  if (datatype === 'BYTES') return { datatype, shape, data: stringContent(ort, value, shape) };
  const size = sizeBytes(datatype, shape) ?? 0;
  if (size === 0) return { datatype, shape, data: new Uint8Array(0) };
  return { datatype, shape, data: copy(memoryAt(ort.make('GetTensorMutableData', value), size)) };
}

function ownCopy(bytes: Uint8Array): Uint8Array {
  const data = Buffer.allocUnsafeSlow(bytes.byteLength);
  data.set(bytes);
  return data;
}

/** The dimensions of an OrtTensorTypeAndShapeInfo; -1 for a symbolic one. */
export function dimensionsOf(ort: Ort, info: bigint): number[] {
  const rank = ort.number('GetDimensionsCount', info);
  const dimensions = wordArray(rank);
  ort.call('GetDimensions', info, dimensions, rank);
  return Array.from({ length: rank }, (_, i) => Number(BigInt.asIntN(64, dimensions[i] ?? 0n)));
}

function stringContent(ort: Ort, value: bigint, shape: readonly number[]): Uint8Array {
  const count = shape.reduce((product, dimension) => product * dimension, 1);
  if (count === 0) return new Uint8Array(0);
  const total = ort.number('GetStringTensorDataLength', value);
  const content = Buffer.allocUnsafeSlow(Math.max(total, 1));
  const offsets = wordArray(count);
  ort.call('GetStringTensorContent', value, content, total, offsets, count);
  const data = Buffer.allocUnsafeSlow(total + 4 * count);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const start = Number(offsets[i]);
    const end = i + 1 < count ? Number(offsets[i + 1]) : total;
    data.writeUInt32LE(end - start, at);
    content.copy(data, at + 4, start, end);
    at += 4 + end - start;
  }
  return data;
}

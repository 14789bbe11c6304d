// InferTensorContents -> the raw bytes of a tensor, exactly or not at all, as JSON data is read over HTTP: nothing wraps, the
// datatype decides which field is read, and another one that holds anything is refused. What is allocated is bounded by the
// elements that are really there, never by the declared shape. FP16 and BF16 have no typed form (open_inference_grpc.proto).
import type { Datatype } from '../../tensor/datatype.js';
import { bytesOf } from '../../tensor/tensor.js';
import { encodeBytes } from '../../tensor/bytes.js';
import { invalid } from '../http/invalid.js';
import { ProtoReader, varintAt } from './proto-reader.js';

type ContentsName = 'bool' | 'int' | 'int64' | 'uint' | 'uint64' | 'fp32' | 'fp64' | 'bytes';
/** In the order of their numbers, from 1. */
const NAMES: readonly ContentsName[] = ['bool', 'int', 'int64', 'uint', 'uint64', 'fp32', 'fp64', 'bytes'];

const OF_DATATYPE: Readonly<Record<Datatype, ContentsName | undefined>> = {
  BOOL: 'bool',
  INT8: 'int',
  INT16: 'int',
  INT32: 'int',
  INT64: 'int64',
  UINT8: 'uint',
  UINT16: 'uint',
  UINT32: 'uint',
  UINT64: 'uint64',
  FP32: 'fp32',
  FP64: 'fp64',
  FP16: undefined,
  BF16: undefined,
  BYTES: 'bytes',
};

const ELEMENT_BYTES: Partial<Record<ContentsName, 4 | 8>> = { fp32: 4, fp64: 8 };

/**
 * `message` is an InferTensorContents, `count` what the shape takes, `field` what errors begin with (`inputs[0]`).
 * Throws ServingError `invalid-argument`, ProtoError where it is no such message.
 */
export function dataOfContents(datatype: Datatype, message: Buffer, count: number, field: string): Uint8Array {
  const wanted = OF_DATATYPE[datatype];
  if (wanted === undefined) {
    throw invalid(`${field}.contents`, `${datatype} has no typed contents: send it in raw_input_contents`);
  }
  const path = `${field}.contents.${wanted}_contents`;
  const pieces = readPieces(message, wanted, datatype, field);
  if (wanted === 'bytes') {
    checkCount(pieces.length, count, path);
    return encodeBytes(pieces);
  }
  const elements = pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
  const size = ELEMENT_BYTES[wanted];
  if (size !== undefined) {
    if (elements.byteLength % size !== 0) throw invalid(path, 'is no whole number of elements');
    checkCount(elements.byteLength / size, count, path);
    return new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength); // little-endian, as we keep them
  }
  checkCount(countVarints(elements, path), count, path);
  return integers(datatype, elements, count, path);
}

/** The field of every part of the message, as it stands there: elements of BYTES, runs of numbers otherwise. */
function readPieces(message: Buffer, wanted: ContentsName, datatype: Datatype, field: string): Buffer[] {
  const reader = new ProtoReader(message);
  const pieces: Buffer[] = [];
  for (let number = reader.next(); number !== 0; number = reader.next()) {
    const name = NAMES[number - 1];
    if (name === wanted) {
      pieces.push(name === 'bytes' ? reader.bytes() : reader.numbers(ELEMENT_BYTES[name] ?? 0));
    } else if (name === undefined) {
      reader.skip();
    } else {
      throw invalid(`${field}.contents.${name}_contents`, `an input of ${datatype} takes ${wanted}_contents`);
    }
  }
  return pieces;
}

function checkCount(count: number, wanted: number, path: string): void {
  if (count !== wanted) throw invalid(path, `${count} elements, the shape takes ${wanted}`);
}

function countVarints(bytes: Buffer, path: string): number {
  let count = 0;
  let length = 0;
  for (const byte of bytes) {
    length++;
    if (byte >= 0x80) continue;
    if (length > 10) throw invalid(path, 'holds a number beyond 64 bits');
    count++;
    length = 0;
  }
  if (length > 0) throw invalid(path, 'ends inside a number');
  return count;
}

type IntegerArray =
  Uint8Array | Uint16Array | Uint32Array | Int8Array | Int16Array | Int32Array | BigInt64Array | BigUint64Array;

function integers(datatype: Datatype, bytes: Buffer, count: number, path: string): Uint8Array {
  const out = arrayOf(datatype, count);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const start = at;
    while ((bytes[at] as number) >= 0x80) at++;
    at++;
    const value = varintAt(bytes, start, at);
    if (out instanceof BigInt64Array || out instanceof BigUint64Array) {
      out[i] = value;
      continue;
    }
    const number = at - start === 1 ? (bytes[start] as number) : Number(BigInt.asIntN(64, value));
    out[i] = datatype === 'BOOL' ? Number(number !== 0) : number;
    if (datatype !== 'BOOL' && out[i] !== number)
      throw invalid(`${path}[${i}]`, `${number} is outside the range of ${datatype}`);
  }
  return bytesOf(out);
}

function arrayOf(datatype: Datatype, count: number): IntegerArray {
  switch (datatype) {
    case 'INT8':
      return new Int8Array(count);
    case 'INT16':
      return new Int16Array(count);
    case 'INT32':
      return new Int32Array(count);
    case 'INT64':
      return new BigInt64Array(count);
    case 'UINT16':
      return new Uint16Array(count);
    case 'UINT32':
      return new Uint32Array(count);
    case 'UINT64':
      return new BigUint64Array(count);
    default:
      return new Uint8Array(count); // UINT8, BOOL
  }
}

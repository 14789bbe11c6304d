// JSON data of the Open Inference Protocol -> raw bytes, exactly or not at all: nothing wraps, is clipped or is guessed, and
// an error names the element. Data may be flat or nested as the shape; what is allocated is bounded by the elements that are
// really there, never by the declared shape. FP16 and BF16 have no JSON form (rest specification, "Tensor Data"). BOOL is
// true or false, not 0 or 1. INT64 and UINT64 take bigint elements beside numbers, for values beyond 2^53.
import type { Datatype } from './datatype.js';
import { bytesOf, elementCount } from './tensor.js';
import { TensorDataError } from './tensor-data-error.js';

const FP32_MAX = 3.4028234663852886e38;
const TWO_32 = 4294967296;
const LONE_SURROGATE = /\p{Surrogate}/u;

type SmallInteger = 'UINT8' | 'UINT16' | 'UINT32' | 'INT8' | 'INT16' | 'INT32';
const SMALL_INTEGERS = {
  UINT8: { min: 0, max: 255, make: (n: number) => new Uint8Array(n) },
  UINT16: { min: 0, max: 65535, make: (n: number) => new Uint16Array(n) },
  UINT32: { min: 0, max: 4294967295, make: (n: number) => new Uint32Array(n) },
  INT8: { min: -128, max: 127, make: (n: number) => new Int8Array(n) },
  INT16: { min: -32768, max: 32767, make: (n: number) => new Int16Array(n) },
  INT32: { min: -2147483648, max: 2147483647, make: (n: number) => new Int32Array(n) },
} satisfies Record<SmallInteger, unknown>;

const BIG_RANGE = {
  INT64: { min: -(2n ** 63n), max: 2n ** 63n - 1n },
  UINT64: { min: 0n, max: 2n ** 64n - 1n },
};

/** Elements in row-major order, and how to name one of them. */
interface FlatData {
  readonly elements: readonly unknown[];
  readonly fieldOf: (index: number) => string;
}

/**
 * The raw little-endian bytes of JSON `data`. `field` is what errors begin with (`inputs[0].data`).
 * Throws TensorDataError; `imprecise` where an INT64 or UINT64 was rounded by the JSON parser.
 */
export function tensorDataFromJson(
  datatype: Datatype,
  shape: readonly number[],
  data: unknown,
  field: string,
): Uint8Array {
  if (datatype === 'FP16' || datatype === 'BF16') {
    throw new TensorDataError('not-in-json', field, `${datatype} has no JSON form: send it as binary data`);
  }
  const flat = flatten(data, shape, field);
  switch (datatype) {
    case 'FP32':
      return floats(flat, new Float32Array(flat.elements.length), FP32_MAX, datatype);
    case 'FP64':
      return floats(flat, new Float64Array(flat.elements.length), Number.MAX_VALUE, datatype);
    case 'BOOL':
      return booleans(flat);
    case 'BYTES':
      return strings(flat);
    case 'INT64':
    case 'UINT64':
      return bigIntegers(flat, datatype);
    default:
      return smallIntegers(flat, datatype);
  }
}

function flatten(data: unknown, shape: readonly number[], field: string): FlatData {
  const count = elementCount(shape);
  if (count === undefined)
    throw new TensorDataError('wrong-count', field, `the shape [${shape.join(',')}] is too large`);
  if (!Array.isArray(data)) throw new TensorDataError('wrong-type', field, `expected an array, got ${describe(data)}`);
  const nested = data.length > 0 && Array.isArray(data[0]);
  if (!nested) {
    if (data.length !== count) {
      const wanted = `the shape [${shape.join(',')}] takes ${count}`;
      throw new TensorDataError('wrong-count', field, `${data.length} elements, ${wanted}`);
    }
    return { elements: data, fieldOf: (index) => `${field}[${index}]` };
  }
  const elements: unknown[] = [];
  collect(data, shape, 0, field, elements);
  return { elements, fieldOf: (index) => nestedField(field, shape, index) };
}

/** Depth is bounded by the shape's rank: what lies deeper is an element of the wrong type. */
function collect(level: unknown, shape: readonly number[], depth: number, field: string, into: unknown[]): void {
  if (!Array.isArray(level)) {
    throw new TensorDataError('wrong-type', field, `expected an array, got ${describe(level)}`);
  }
  const wanted = shape[depth] ?? 1;
  if (level.length !== wanted) {
    throw new TensorDataError('wrong-count', field, `${level.length} elements, the shape takes ${wanted} here`);
  }
  if (depth >= shape.length - 1) {
    for (const element of level) into.push(element);
    return;
  }
  for (let i = 0; i < level.length; i++) collect(level[i], shape, depth + 1, `${field}[${i}]`, into);
}

function nestedField(field: string, shape: readonly number[], index: number): string {
  let rest = index;
  let path = '';
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const dimension = shape[axis] ?? 1;
    path = `[${rest % dimension}]${path}`;
    rest = Math.floor(rest / dimension);
  }
  return field + path;
}

function floats(flat: FlatData, out: Float32Array | Float64Array, max: number, datatype: Datatype): Uint8Array {
  const { elements } = flat;
  for (let i = 0; i < elements.length; i++) {
    const value = elements[i];
    if (typeof value !== 'number') throw wrongType(flat, i, 'a number');
    out[i] = value;
    const stored = out[i] as number;
    if (!(stored <= max && stored >= -max)) throw outOfRange(flat, i, datatype, `-${max}..${max}`);
  }
  return bytesOf(out);
}

function smallIntegers(flat: FlatData, datatype: SmallInteger): Uint8Array {
  const { min, max, make } = SMALL_INTEGERS[datatype];
  const { elements } = flat;
  const out = make(elements.length);
  for (let i = 0; i < elements.length; i++) {
    const value = elements[i];
    if (typeof value !== 'number') throw wrongType(flat, i, 'an integer');
    if (!(value >= min && value <= max)) throw outOfRange(flat, i, datatype, `${min}..${max}`);
    if (!Number.isInteger(value)) throw wrongType(flat, i, 'an integer');
    out[i] = value;
  }
  return bytesOf(out);
}

/** Numbers are stored as two 32-bit halves, which is several times faster than through BigInt. */
function bigIntegers(flat: FlatData, datatype: 'INT64' | 'UINT64'): Uint8Array {
  const { min, max } = BIG_RANGE[datatype];
  const { elements } = flat;
  const out = new BigInt64Array(elements.length);
  const halves = new Uint32Array(out.buffer);
  for (let i = 0; i < elements.length; i++) {
    const value = elements[i];
    if (typeof value === 'bigint') {
      if (value < min || value > max) throw outOfRange(flat, i, datatype, `${min}..${max}`);
      out[i] = value;
      continue;
    }
    if (typeof value !== 'number') throw wrongType(flat, i, 'an integer');
    if (!Number.isSafeInteger(value)) {
      if (Number.isInteger(value)) {
        throw new TensorDataError('imprecise', flat.fieldOf(i), `${value} is beyond 2^53 and was rounded`);
      }
      if (Number.isFinite(value)) throw wrongType(flat, i, 'an integer');
      throw outOfRange(flat, i, datatype, `${min}..${max}`);
    }
    if (value < 0 && min === 0n) throw outOfRange(flat, i, datatype, `${min}..${max}`);
    halves[2 * i] = value;
    halves[2 * i + 1] = Math.floor(value / TWO_32);
  }
  return bytesOf(out);
}

function booleans(flat: FlatData): Uint8Array {
  const { elements } = flat;
  const out = new Uint8Array(elements.length);
  for (let i = 0; i < elements.length; i++) {
    const value = elements[i];
    if (typeof value !== 'boolean') throw wrongType(flat, i, 'true or false');
    out[i] = value ? 1 : 0;
  }
  return out;
}

function strings(flat: FlatData): Uint8Array {
  const { elements } = flat;
  let total = 0;
  for (let i = 0; i < elements.length; i++) {
    const value = elements[i];
    if (typeof value !== 'string') throw wrongType(flat, i, 'a string');
    if (LONE_SURROGATE.test(value)) {
      throw new TensorDataError('not-in-json', flat.fieldOf(i), 'a lone surrogate is no UTF-8 text: send binary data');
    }
    total += 4 + Buffer.byteLength(value);
  }
  const out = Buffer.allocUnsafeSlow(total);
  let at = 0;
  for (const value of elements as readonly string[]) {
    const length = out.write(value, at + 4);
    out.writeUInt32LE(length, at);
    at += 4 + length;
  }
  return out;
}

function wrongType(flat: FlatData, index: number, wanted: string): TensorDataError {
  const text = `expected ${wanted}, got ${describe(flat.elements[index])}`;
  return new TensorDataError('wrong-type', flat.fieldOf(index), text);
}

function outOfRange(flat: FlatData, index: number, datatype: Datatype, range: string): TensorDataError {
  const text = `${String(flat.elements[index])} is outside the range of ${datatype} (${range})`;
  return new TensorDataError('out-of-range', flat.fieldOf(index), text);
}

/** A short name of a JSON value for an error message. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return 'an object';
  const text = String(value);
  const short = text.length > 40 ? `${text.slice(0, 40)}...` : text;
  return typeof value === 'string' ? JSON.stringify(short) : short;
}

// Elements of a golden as JSON writes them -> the bytes of a tensor. The wire's JSON codec (shared/tensor/json.ts) keeps
// 64-bit integers exact through a BigInt-aware parser; a goldens file is plain JSON, so larger ones are written as strings.
import { encodeBytes } from '../tensor/bytes.js';
import type { Datatype } from '../tensor/datatype.js';
import { bytesOf } from '../tensor/tensor.js';

type Element = number | string | boolean;
const RANGES: Partial<Record<Datatype, readonly [number, number]>> = {
  UINT8: [0, 0xff],
  INT8: [-0x80, 0x7f],
  UINT16: [0, 0xffff],
  INT16: [-0x8000, 0x7fff],
  UINT32: [0, 0xffffffff],
  INT32: [-0x80000000, 0x7fffffff],
};

/** Undefined where an element does not fit the datatype, or for FP16 and BF16, which JSON goldens don't write. */
export function numbersToBytes(datatype: Datatype, elements: readonly Element[]): Uint8Array | undefined {
  switch (datatype) {
    case 'BYTES':
      return elements.every((one) => typeof one === 'string')
        ? encodeBytes(elements.map((one) => new TextEncoder().encode(one)))
        : undefined;
    case 'BOOL':
      return elements.every((one) => typeof one === 'boolean') ? Uint8Array.from(elements, Number) : undefined;
    case 'FP32':
      return elements.every(isNumber) ? bytesOf(Float32Array.from(elements)) : undefined;
    case 'FP64':
      return elements.every(isNumber) ? bytesOf(Float64Array.from(elements)) : undefined;
    case 'INT64':
    case 'UINT64':
      return largeIntegers(datatype, elements);
    case 'FP16':
    case 'BF16':
      return undefined;
    default:
      return smallIntegers(datatype, elements);
  }
}

const isNumber = (one: Element): one is number => typeof one === 'number';

function smallIntegers(datatype: Datatype, elements: readonly Element[]): Uint8Array | undefined {
  const [least, largest] = RANGES[datatype] ?? [0, 0];
  const fits = (one: Element): one is number => Number.isInteger(one) && Number(one) >= least && Number(one) <= largest;
  if (!elements.every(fits)) return undefined;
  const arrays = {
    UINT8: Uint8Array,
    INT8: Int8Array,
    UINT16: Uint16Array,
    INT16: Int16Array,
    UINT32: Uint32Array,
    INT32: Int32Array,
  };
  const typed = arrays[datatype as keyof typeof arrays];
  return bytesOf(typed.from(elements));
}

function largeIntegers(datatype: 'INT64' | 'UINT64', elements: readonly Element[]): Uint8Array | undefined {
  const values: bigint[] = [];
  for (const one of elements) {
    const written = typeof one === 'string' ? /^-?[0-9]{1,20}$/.test(one) : Number.isSafeInteger(one);
    if (!written || typeof one === 'boolean') return undefined;
    const value = BigInt(one);
    const wrapped = datatype === 'INT64' ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value);
    if (wrapped !== value) return undefined;
    values.push(value);
  }
  return bytesOf(datatype === 'INT64' ? BigInt64Array.from(values) : BigUint64Array.from(values));
}

// Encodes any message that has a descriptor into a list of chunks. Two passes in the same order: the first measures every
// nested message, the second writes. Byte fields of LIMIT_COPY_BYTES and more become chunks of their own, so the weights of a
// model are never copied. Known fields are written in the order of their numbers, unknown ones after them, as they stood.
import assert from 'node:assert/strict';
import type { MessageType, NamedField } from './message-type.js';

/** Byte fields below this are copied into the chunk around them. */
const LIMIT_COPY_BYTES = 4096;

const CHUNK_BYTES = 64 * 1024;

type Message = Record<string, unknown>;
type Numbers = readonly (number | bigint)[];

/** The chunks, in order, are the encoded message. Big ones are views of the message's own byte fields. */
export function encodeMessage(message: object, type: MessageType): Uint8Array[] {
  const sizes: number[] = [];
  const total = measure(message as Message, type, sizes);
  const writer = new ChunkWriter(sizes);
  writer.message(message as Message, type);
  const chunks = writer.finish();
  assert.equal(chunksSizeBytes(chunks), total, 'both passes agree');
  return chunks;
}

export function chunksSizeBytes(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size += 1;
  return size;
}

function numberSize(field: NamedField, value: number | bigint): number {
  if (field.kind === 'float') return 4;
  if (field.kind === 'double') return 8;
  if (typeof value === 'number') return value < 0 ? 10 : varintSize(value);
  if (value < 0n) return 10;
  return value < 0x10000000000000n ? varintSize(Number(value)) : varintSize(Number(value >> 49n)) + 7;
}

function elementSize(field: NamedField, value: unknown, sizes: number[]): number {
  if (field.kind === 'message') {
    const index = sizes.push(0) - 1;
    const size = measure(value as Message, (field.message as () => MessageType)(), sizes);
    sizes[index] = size;
    return varintSize(size) + size;
  }
  if (field.kind === 'string' || field.kind === 'bytes') {
    const size = field.kind === 'string' ? Buffer.byteLength(value as string) : (value as Uint8Array).byteLength;
    return varintSize(size) + size;
  }
  return numberSize(field, value as number | bigint);
}

function packedSize(field: NamedField, values: Numbers): number {
  let size = 0;
  for (const value of values) size += numberSize(field, value);
  return size;
}

function measure(message: Message, type: MessageType, sizes: number[]): number {
  let total = 0;
  for (const field of type.fields) {
    const value = message[field.name];
    if (value === undefined) continue;
    const tag = varintSize(field.number << 3);
    if (!field.repeated) {
      total += tag + elementSize(field, value, sizes);
    } else if (field.packed) {
      const values = value as Numbers;
      if (values.length === 0) continue;
      const size = packedSize(field, values);
      sizes.push(size);
      total += tag + varintSize(size) + size;
    } else {
      for (const element of value as Iterable<unknown>) total += tag + elementSize(field, element, sizes);
    }
  }
  for (const field of (message['unknown'] ?? []) as readonly Uint8Array[]) total += field.byteLength;
  return total;
}

const WIRE_TYPE = {
  string: 2,
  bytes: 2,
  message: 2,
  int32: 0,
  safe64: 0,
  int64: 0,
  uint64: 0,
  float: 5,
  double: 1,
} as const;

class ChunkWriter {
  readonly #sizes: readonly number[];
  #nextSize = 0;
  readonly #chunks: Uint8Array[] = [];
  #chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  #at = 0;

  constructor(sizes: readonly number[]) {
    this.#sizes = sizes;
  }

  finish(): Uint8Array[] {
    this.#flush();
    return this.#chunks;
  }

  message(message: Message, type: MessageType): void {
    for (const field of type.fields) {
      const value = message[field.name];
      if (value === undefined) continue;
      if (!field.repeated) {
        this.#element(field, value);
      } else if (field.packed) {
        const values = value as Numbers;
        if (values.length === 0) continue;
        this.#varint(field.number * 8 + 2);
        this.#varint(this.#size());
        for (const number of values) this.#number(field, number);
      } else {
        for (const element of value as Iterable<unknown>) this.#element(field, element);
      }
    }
    for (const field of (message['unknown'] ?? []) as readonly Uint8Array[]) this.#bytes(field);
  }

  #element(field: NamedField, value: unknown): void {
    this.#varint(field.number * 8 + WIRE_TYPE[field.kind]);
    if (field.kind === 'message') {
      this.#varint(this.#size());
      this.message(value as Message, (field.message as () => MessageType)());
    } else if (field.kind === 'string') {
      this.#string(value as string);
    } else if (field.kind === 'bytes') {
      this.#varint((value as Uint8Array).byteLength);
      this.#bytes(value as Uint8Array);
    } else {
      this.#number(field, value as number | bigint);
    }
  }

  #string(text: string): void {
    const size = Buffer.byteLength(text);
    this.#varint(size);
    if (size >= LIMIT_COPY_BYTES) {
      this.#bytes(Buffer.from(text));
      return;
    }
    this.#reserve(size);
    this.#at += this.#chunk.write(text, this.#at);
  }

  #size(): number {
    const size = this.#sizes[this.#nextSize++];
    assert(size !== undefined, 'the measuring pass saw every message');
    return size;
  }

  #number(field: NamedField, value: number | bigint): void {
    this.#reserve(10);
    if (field.kind === 'float') this.#at = this.#chunk.writeFloatLE(Number(value), this.#at);
    else if (field.kind === 'double') this.#at = this.#chunk.writeDoubleLE(Number(value), this.#at);
    else if (typeof value === 'number' && value >= 0) this.#varint(value);
    else this.#wideVarint(BigInt.asUintN(64, BigInt(value)));
  }

  #wideVarint(value: bigint): void {
    let rest = value;
    while (rest >= 0x80n) {
      this.#chunk[this.#at++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#chunk[this.#at++] = Number(rest);
  }

  #varint(value: number): void {
    this.#reserve(10);
    let rest = value;
    while (rest >= 0x80) {
      this.#chunk[this.#at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#chunk[this.#at++] = rest;
  }

  #bytes(bytes: Uint8Array): void {
    if (bytes.byteLength >= LIMIT_COPY_BYTES) {
      this.#flush();
      this.#chunks.push(bytes);
      return;
    }
    this.#reserve(bytes.byteLength);
    this.#chunk.set(bytes, this.#at);
    this.#at += bytes.byteLength;
  }

  #reserve(size: number): void {
    if (this.#at + size <= this.#chunk.byteLength) return;
    this.#flush();
  }

  /** Closes the chunk; what is left of its buffer serves the next. */
  #flush(): void {
    if (this.#at > 0) this.#chunks.push(this.#chunk.subarray(0, this.#at));
    const rest = this.#chunk.subarray(this.#at);
    this.#chunk = rest.byteLength >= 2 * LIMIT_COPY_BYTES ? rest : Buffer.allocUnsafe(CHUNK_BYTES);
    this.#at = 0;
  }
}

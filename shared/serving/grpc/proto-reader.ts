// A protobuf message's bytes, field by field, read in place (encoding specification, "Message Structure"). Byte fields are
// views, so a tensor is never copied here; every read is checked against the end of the message that is being read. A field
// with another wire type than its own is refused, not skipped: whoever sends it means something that we would not see.
import { isUtf8 } from 'node:buffer';

/** The bytes are no protobuf message, or not this one. */
export class ProtoError extends Error {
  override readonly name = 'ProtoError';
}

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

export class ProtoReader {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  #at: number;
  readonly #end: number;
  #wireType = 0;

  constructor(bytes: Buffer, start = 0, end = bytes.byteLength) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = start;
    this.#end = end;
  }

  /** The number of the next field, 0 at the end. The field must then be read or skipped. Throws ProtoError, as all reads do. */
  next(): number {
    if (this.#at >= this.#end) return 0;
    const tag = this.#uint32();
    this.#wireType = tag & 7;
    return tag >>> 3 || this.#fail('field number 0');
  }

  skip(): void {
    if (this.#wireType === VARINT) this.#skipVarint();
    else if (this.#wireType === FIXED64) this.#take(8);
    else if (this.#wireType === FIXED32) this.#take(4);
    else if (this.#wireType === LENGTH) this.#take(this.#uint32());
    else this.#fail(`wire type ${this.#wireType}`);
  }

  bool(): boolean {
    return this.#varint64(VARINT) !== 0n;
  }

  int64(): bigint {
    return BigInt.asIntN(64, this.#varint64(VARINT));
  }

  uint64(): bigint {
    return this.#varint64(VARINT);
  }

  double(): number {
    this.#expect(FIXED64);
    return this.#view.getFloat64(this.#take(8), true);
  }

  /** A view. */
  bytes(): Buffer {
    this.#expect(LENGTH);
    const length = this.#uint32();
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  string(): string {
    const bytes = this.bytes();
    if (!isUtf8(bytes)) this.#fail('a text that is not UTF-8');
    return bytes.toString('utf8');
  }

  /** A reader of a nested message. */
  message(): ProtoReader {
    this.#expect(LENGTH);
    const length = this.#uint32();
    const start = this.#take(length);
    return new ProtoReader(this.#bytes, start, start + length);
  }

  /** A repeated int64, packed or one by one; each must be a safe integer. */
  safeIntegers(into: number[]): void {
    if (this.#wireType !== LENGTH) {
      into.push(this.#safe());
      return;
    }
    const packed = this.message();
    packed.#wireType = VARINT;
    while (packed.#at < packed.#end) into.push(packed.#safe());
  }

  /** The elements of a repeated number, as they stand in the message: packed, or one by one. */
  numbers(elementBytes: 0 | 4 | 8): Buffer {
    if (this.#wireType === LENGTH) return this.bytes();
    const start = this.#at;
    this.#expect(elementBytes === 0 ? VARINT : elementBytes === 4 ? FIXED32 : FIXED64);
    if (elementBytes === 0) this.#skipVarint();
    else this.#take(elementBytes);
    return this.#bytes.subarray(start, this.#at);
  }

  #safe(): number {
    const first = this.#bytes[this.#at] ?? 0;
    if (this.#wireType === VARINT && this.#at < this.#end && first < 0x80) {
      this.#at += 1;
      return first;
    }
    const value = Number(this.int64());
    return Number.isSafeInteger(value) ? value : this.#fail(`the number ${value} passes 2^53`);
  }

  #expect(wireType: number): void {
    if (this.#wireType !== wireType) this.#fail(`wire type ${this.#wireType} where ${wireType} is due`);
  }

  /** Takes `length` bytes; the offset where they begin. */
  #take(length: number): number {
    const start = this.#at;
    if (length > this.#end - start) this.#fail(`a length of ${length} runs past the end`);
    this.#at = start + length;
    return start;
  }

  #uint32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      if (this.#at >= this.#end) this.#fail('ends inside a number');
      const byte = this.#bytes[this.#at++] as number;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value <= 0xffffffff ? value : this.#fail('a length or tag beyond 32 bits');
    }
    return this.#fail('a length or tag beyond 32 bits');
  }

  #varint64(wireType: number): bigint {
    this.#expect(wireType);
    const start = this.#at;
    this.#skipVarint();
    return varintAt(this.#bytes, start, this.#at);
  }

  #skipVarint(): void {
    for (let i = 0; i < 10; i++) {
      if (this.#at >= this.#end) this.#fail('ends inside a number');
      if ((this.#bytes[this.#at++] as number) < 0x80) return;
    }
    this.#fail('a number beyond 64 bits');
  }

  #fail(text: string): never {
    throw new ProtoError(`${text} at byte ${this.#at}`);
  }
}

/** The varint that stands at `start` up to `end`, as an unsigned number of 64 bits. */
export function varintAt(bytes: Uint8Array, start: number, end: number): bigint {
  let low = 0; // 28 bits, exact in a double
  let high = 0n;
  for (let i = start; i < end; i++) {
    const bits = (bytes[i] as number) & 0x7f;
    const shift = 7 * (i - start);
    if (shift < 28) low += bits * 2 ** shift;
    else high |= BigInt(bits) << BigInt(shift);
  }
  return BigInt.asUintN(64, high | BigInt(low));
}

// The bytes of a protobuf message, read in place: varints, fixed numbers, strings and views. Every read is checked against the
// end of the message that is being read, so a wrong length can't reach into the next one.
import { OnnxError } from './onnx-error.js';

/** Objects (messages, byte fields, unknown fields) that one file may hold: about 50 bytes of heap for 2 bytes of file. */
const LIMIT_OBJECTS = 4_000_000;

const utf8 = new TextDecoder('utf-8', { fatal: true });

export class WireReader {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  #objects = 0;
  at = 0;
  /** End of the message that is being read. */
  end: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.end = bytes.byteLength;
  }

  fail(message: string): never {
    throw new OnnxError('malformed', `${message} at byte ${this.at}; not an ONNX file, or a damaged or truncated one`);
  }

  countObject(): void {
    this.#objects += 1;
    if (this.#objects > LIMIT_OBJECTS) {
      throw new OnnxError('too-large', `more than ${LIMIT_OBJECTS} messages and byte fields`);
    }
  }

  /** A varint below 2^32: tags and lengths. */
  uint32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      if (this.at >= this.end) this.fail('ends inside a number');
      const byte = this.#bytes[this.at++] ?? 0;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value <= 0xffffffff ? value : this.fail('a length or tag beyond 32 bits');
    }
    return this.fail('a length or tag beyond 32 bits');
  }

  /** A varint of up to 64 bits, as two's complement. */
  int64(): bigint {
    let low = 0;
    let high = 0;
    for (let i = 0; i < 10; i += 1) {
      if (this.at >= this.end) this.fail('ends inside a number');
      const byte = this.#bytes[this.at++] ?? 0;
      if (i < 4) low += (byte & 0x7f) * 2 ** (7 * i);
      else if (i < 8) high += (byte & 0x7f) * 2 ** (7 * (i - 4));
      else return this.#wide(low, high, byte);
      if (byte < 0x80) return (BigInt(high) << 28n) | BigInt(low);
    }
    return this.fail('a number beyond 64 bits');
  }

  /** Bytes 9 and 10 of a varint: bits 56 to 63. */
  #wide(low: number, high: number, first: number): bigint {
    let top = BigInt(first & 0x7f);
    if (first >= 0x80) {
      if (this.at >= this.end) this.fail('ends inside a number');
      const last = this.#bytes[this.at++] ?? 0;
      if (last > 1) this.fail('a number beyond 64 bits');
      top |= BigInt(last) << 7n;
    }
    return BigInt.asIntN(64, (top << 56n) | (BigInt(high) << 28n) | BigInt(low));
  }

  /** A 64-bit varint that must be a safe integer. */
  safe64(): number {
    const start = this.at;
    const byte = this.#bytes[start] ?? 0;
    if (start < this.end && byte < 0x80) {
      this.at += 1;
      return byte;
    }
    const value = Number(this.int64());
    if (!Number.isSafeInteger(value)) this.fail(`the number ${value} passes 2^53`);
    return value;
  }

  int32(): number {
    const value = this.safe64();
    return value >= -0x80000000 && value <= 0x7fffffff ? value : this.fail(`the number ${value} passes 32 bits`);
  }

  float(): number {
    if (this.at + 4 > this.end) this.fail('ends inside a number');
    this.at += 4;
    return this.#view.getFloat32(this.at - 4, true);
  }

  double(): number {
    if (this.at + 8 > this.end) this.fail('ends inside a number');
    this.at += 8;
    return this.#view.getFloat64(this.at - 8, true);
  }

  /** The end of a length-delimited field that begins here. */
  lengthEnd(): number {
    const length = this.uint32();
    const end = this.at + length;
    return end <= this.end ? end : this.fail(`a length of ${length} runs past the end`);
  }

  bytes(): Uint8Array {
    const end = this.lengthEnd();
    this.countObject();
    const view = this.#slice(this.at, end);
    this.at = end;
    return view;
  }

  string(): string {
    const start = this.at;
    const end = this.lengthEnd();
    const text = this.#bytes.toString('utf8', this.at, end);
    if (text.includes('\ufffd')) {
      try {
        utf8.decode(this.#slice(this.at, end));
      } catch {
        this.at = start; // the replacement character was not in the text: the bytes are no UTF-8
        this.fail('a name or text that is not UTF-8');
      }
    }
    this.at = end;
    return text;
  }

  /** Skips the value of an unknown field; returns the field from its tag on. */
  unknown(start: number, wireType: number): Uint8Array {
    if (wireType === 0) this.int64();
    else if (wireType === 1) this.at += 8;
    else if (wireType === 2) this.at = this.lengthEnd();
    else if (wireType === 5) this.at += 4;
    else this.fail(`wire type ${wireType}`);
    if (this.at > this.end) this.fail('ends inside a field');
    this.countObject();
    return this.#slice(start, this.at);
  }

  /** Varints (bytes below 0x80 end one) up to `end`. */
  countVarints(end: number): number {
    let count = 0;
    for (let i = this.at; i < end; i += 1) if ((this.#bytes[i] ?? 0) < 0x80) count += 1;
    return count;
  }

  #slice(start: number, end: number): Uint8Array {
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + start, end - start);
  }
}

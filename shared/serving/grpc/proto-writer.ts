// Writes a protobuf message of small fields into a buffer that grows. Tensors don't pass through it: `finish` leaves room
// for them behind, so that they are copied once, into the message that is sent. Fields with the default value are left out,
// as proto3 asks; a member of a oneof is always written (`given...`).

const START_BYTES = 512;
/** Room that a varint asks for, whatever it takes. */
const SPARE_BYTES = 10;
const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;

interface FinishOptions {
  readonly field?: number;
  readonly blobs?: readonly Uint8Array[];
  readonly within?: number;
}

export class ProtoWriter {
  #bytes = Buffer.allocUnsafe(START_BYTES);
  #at = 0;

  bool(field: number, value: boolean): void {
    if (value) this.givenBool(field, value);
  }

  givenBool(field: number, value: boolean): void {
    this.#tag(field, VARINT);
    this.#varint(value ? 1 : 0);
  }

  /** A whole number >= 0: an enum's value, a count. */
  unsigned(field: number, value: number): void {
    if (value !== 0) this.givenInteger(field, value);
  }

  /** A safe integer. */
  givenInteger(field: number, value: number): void {
    this.#tag(field, VARINT);
    this.#signed(value);
  }

  givenDouble(field: number, value: number): void {
    this.#tag(field, FIXED64);
    this.#room(8);
    this.#at = this.#bytes.writeDoubleLE(value, this.#at);
  }

  string(field: number, value: string): void {
    if (value !== '') this.givenString(field, value);
  }

  /** Also an element of a repeated string. */
  givenString(field: number, value: string): void {
    this.#tag(field, LENGTH);
    const length = Buffer.byteLength(value);
    this.#varint(length);
    this.#room(length);
    this.#at += this.#bytes.write(value, this.#at);
  }

  /** Repeated int64, packed. */
  packed(field: number, values: readonly number[]): void {
    if (values.length === 0) return;
    this.message(field, () => {
      for (const value of values) this.#signed(value);
    });
  }

  /** What `write` writes is the nested message. */
  message(field: number, write: () => void): void {
    this.#tag(field, LENGTH);
    this.#room(1);
    const start = ++this.#at; // one byte is kept for the length, which most nested messages need no more than
    write();
    const length = this.#at - start;
    const more = varintBytes(length) - 1;
    if (more > 0) {
      this.#room(more);
      this.#bytes.copyWithin(start + more, start, this.#at);
    }
    this.#at = start - 1;
    this.#varint(length);
    this.#at += length;
  }

  /**
   * The message, with `blobs` behind it as elements of the repeated byte field `field`. `within` makes all of it that field
   * of an outer message.
   */
  finish({ field = 0, blobs = [], within = 0 }: FinishOptions = {}): Buffer {
    const head = this.#bytes.subarray(0, this.#at);
    let size = head.byteLength;
    for (const { byteLength } of blobs) size += varintBytes(field * 8) + varintBytes(byteLength) + byteLength;
    if (size === head.byteLength && within === 0) return head;
    const outer = within === 0 ? 0 : varintBytes(within * 8) + varintBytes(size);
    this.#bytes = Buffer.allocUnsafe(outer + size + SPARE_BYTES);
    this.#at = 0;
    if (within !== 0) {
      this.#tag(within, LENGTH);
      this.#varint(size);
    }
    this.#put(head);
    for (const blob of blobs) {
      this.#tag(field, LENGTH);
      this.#varint(blob.byteLength);
      this.#put(blob);
    }
    return this.#bytes.subarray(0, this.#at);
  }

  #put(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.byteLength;
  }

  #tag(field: number, wireType: number): void {
    this.#varint(field * 8 + wireType);
  }

  #signed(value: number): void {
    if (value >= 0) {
      this.#varint(value);
      return;
    }
    this.#room(SPARE_BYTES);
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest >= 0x80n; rest >>= 7n) this.#bytes[this.#at++] = Number(rest & 0x7fn) | 0x80;
    this.#bytes[this.#at++] = Number(rest);
  }

  #varint(value: number): void {
    this.#room(SPARE_BYTES);
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#bytes[this.#at++] = (rest % 0x80) | 0x80;
    this.#bytes[this.#at++] = rest;
  }

  #room(bytes: number): void {
    const wanted = this.#at + bytes;
    if (wanted <= this.#bytes.byteLength) return;
    const grown = Buffer.allocUnsafe(Math.max(wanted, 2 * this.#bytes.byteLength));
    grown.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = grown;
  }
}

function varintBytes(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size += 1;
  return size;
}

// Follows the framing of MQTT (3.1.1, section 2.2) just far enough to know how long each packet says it is: one byte of type, then
// a length of one to four bytes with 7 bits each. The broker's own parser would gather a packet of 256 MB before looking at it.

export class PacketMeter {
  readonly #limitBytes: number;
  /** Bytes of the current packet's body that are still to come. */
  #bodyBytes = 0;
  /** Bytes of the current packet's header that were read: 0 between packets. */
  #headerBytes = 0;
  #length = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** False from the chunk on in which a packet claims to be longer than the limit, or its length can't be one. */
  accepts(chunk: Uint8Array): boolean {
    let at = 0;
    while (at < chunk.length) {
      if (this.#bodyBytes > 0) {
        const part = Math.min(this.#bodyBytes, chunk.length - at);
        this.#bodyBytes -= part;
        at += part;
        continue;
      }
      const byte = chunk[at]!;
      at += 1;
      if (this.#headerBytes > 0) {
        this.#length += (byte & 0x7f) * 128 ** (this.#headerBytes - 1);
        if ((byte & 0x80) === 0) {
          if (this.#length + this.#headerBytes + 1 > this.#limitBytes) return false;
          this.#bodyBytes = this.#length;
          this.#headerBytes = 0;
          this.#length = 0;
          continue;
        }
        if (this.#headerBytes === 4) return false;
      }
      this.#headerBytes += 1;
    }
    return true;
  }
}

// Frames on the pipe between the runtime and an executor: a JSON header and binary blobs, length-prefixed, with the blobs
// laid out as in the binary tensor extension (JSON first, then the bytes in its order). Pure: bytes in, bytes out.
//
//   u32 bodyBytes | u32 headerBytes | header (JSON, padded with spaces) | blob | padding | blob ...
//
// The body is everything after the first eight bytes. Blobs begin at multiples of 64 within the body, so that a tensor in
// a received frame is aligned for any kernel and can be handed to the engine without a copy. Little-endian. All lengths are
// checked before memory is taken for them.

/** Largest frame: one run's tensors. A larger request can't have passed the limits of the protocol fronts. */
export const MAX_FRAME_BYTES = 1 << 30;
export const MAX_HEADER_BYTES = 1 << 20;
const PREFIX_BYTES = 8;
const ALIGNMENT = 64;

export class FrameError extends Error {
  override readonly name = 'FrameError';
}

export interface Frame {
  readonly header: unknown;
  readonly body: Uint8Array;
  /** Where the first blob begins in `body`. */
  readonly blobsAt: number;
}

const align = (offset: number): number => (offset + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
const SPACE = 0x20;

/** Below this it is cheaper to copy than to gather. */
const GATHER_FROM_BYTES = 16 * 1024;

/**
 * A frame as chunks for one gathered write; large blobs are not copied and must not change until written.
 * Throws FrameError when it would exceed the limits.
 */
export function encodeFrame(header: object, blobs: readonly Uint8Array[] = []): Uint8Array[] {
  const json = Buffer.from(JSON.stringify(header));
  const headerBytes = blobs.length === 0 ? json.byteLength : align(json.byteLength);
  if (headerBytes > MAX_HEADER_BYTES) throw new FrameError(`header of ${headerBytes} bytes, limit ${MAX_HEADER_BYTES}`);
  const head = Buffer.alloc(PREFIX_BYTES + headerBytes, SPACE);
  json.copy(head, PREFIX_BYTES);
  const chunks: Uint8Array[] = [head];
  let bodyBytes = headerBytes;
  for (const blob of blobs) {
    const start = align(bodyBytes);
    if (start > bodyBytes) chunks.push(new Uint8Array(start - bodyBytes));
    if (blob.byteLength > 0) chunks.push(blob);
    bodyBytes = start + blob.byteLength;
    if (bodyBytes > MAX_FRAME_BYTES) throw new FrameError(`frame of ${bodyBytes} bytes, limit ${MAX_FRAME_BYTES}`);
  }
  head.writeUInt32LE(bodyBytes, 0);
  head.writeUInt32LE(headerBytes, 4);
  return chunks.length > 1 && bodyBytes < GATHER_FROM_BYTES ? [Buffer.concat(chunks)] : chunks;
}

/** The blobs of a frame as views, by their sizes in order. Throws FrameError unless they fill the body exactly. */
export function blobsOf(frame: Frame, sizesBytes: readonly number[]): Uint8Array[] {
  let at = frame.blobsAt;
  const blobs = sizesBytes.map((size) => {
    if (!Number.isSafeInteger(size) || size < 0) throw new FrameError(`blob size ${size}`);
    const start = align(at);
    at = start + size;
    if (at > frame.body.byteLength) throw new FrameError(`blob of ${size} bytes runs past the frame`);
    return frame.body.subarray(start, at);
  });
  if (at !== frame.body.byteLength) throw new FrameError(`${frame.body.byteLength - at} surplus bytes in the frame`);
  return blobs;
}

/**
 * Takes a stream apart. `space()` is where the next bytes should be read to (a large frame fills its own memory directly);
 * `filled(n)` says that n bytes have arrived there and returns the frames that this completed. `push` copies from a chunk
 * instead. Throws FrameError once the stream is not made of frames; the reader is then useless.
 */
export class FrameReader {
  readonly #inbox = Buffer.allocUnsafeSlow(64 * 1024);
  #inboxUsed = 0;
  #body: Buffer | undefined;
  #bodyUsed = 0;
  #headerBytes = 0;

  space(): Uint8Array {
    return this.#body === undefined ? this.#inbox.subarray(this.#inboxUsed) : this.#body.subarray(this.#bodyUsed);
  }

  filled(count: number): Frame[] {
    if (this.#body === undefined) {
      this.#inboxUsed += count;
    } else {
      this.#bodyUsed += count;
    }
    const frames: Frame[] = [];
    this.#take(frames);
    return frames;
  }

  push(chunk: Uint8Array): Frame[] {
    const frames: Frame[] = [];
    let at = 0;
    while (at < chunk.byteLength) {
      const space = this.space();
      const part = chunk.subarray(at, at + space.byteLength);
      space.set(part);
      at += part.byteLength;
      frames.push(...this.filled(part.byteLength));
    }
    return frames;
  }

  /** Whole so far: nothing of a frame is waiting for its rest. */
  get idle(): boolean {
    return this.#inboxUsed === 0 && this.#body === undefined;
  }

  #take(frames: Frame[]): void {
    if (this.#body !== undefined) {
      if (this.#bodyUsed < this.#body.byteLength) return;
      frames.push(this.#finish(this.#body));
    }
    let at = 0;
    while (this.#inboxUsed - at >= PREFIX_BYTES) {
      const bodyBytes = this.#inbox.readUInt32LE(at);
      this.#headerBytes = this.#inbox.readUInt32LE(at + 4);
      if (bodyBytes > MAX_FRAME_BYTES) throw new FrameError(`frame of ${bodyBytes} bytes, limit ${MAX_FRAME_BYTES}`);
      if (this.#headerBytes > bodyBytes || this.#headerBytes > MAX_HEADER_BYTES) {
        throw new FrameError(`header of ${this.#headerBytes} bytes in a frame of ${bodyBytes}`);
      }
      const start = at + PREFIX_BYTES;
      const end = Math.min(start + bodyBytes, this.#inboxUsed);
      // Memory of its own: it outlives the inbox, and its start is aligned.
      const body = Buffer.allocUnsafeSlow(bodyBytes);
      this.#inbox.copy(body, 0, start, end);
      at = end;
      if (end - start < bodyBytes) {
        this.#body = body;
        this.#bodyUsed = end - start;
        break;
      }
      frames.push(this.#finish(body));
    }
    this.#inbox.copyWithin(0, at, this.#inboxUsed);
    this.#inboxUsed -= at;
  }

  #finish(body: Buffer): Frame {
    this.#body = undefined;
    const text = body.toString('utf8', 0, this.#headerBytes);
    try {
      return { header: JSON.parse(text) as unknown, body, blobsAt: this.#headerBytes };
    } catch (cause) {
      throw new FrameError('the header is not JSON', { cause });
    }
  }
}

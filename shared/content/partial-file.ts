// A blob while it is being received: appended to, hashed as it comes, and renamed into place once whole and right. Small
// writes are gathered to one append. A hash that runs on from earlier in this process is trusted; after a restart the bytes
// on disk are hashed again, so what is renamed was hashed from the first byte to the last.
import { strict as assert } from 'node:assert';
import { createHash, type Hash } from 'node:crypto';
import type { Files } from '../system/files.js';
import { ContentError, isDiskFull, noSpace } from './content-error.js';

const APPEND_BYTES = 1024 * 1024;

/** SHA-256 state over the first `offsetBytes` of the file. */
export interface HashSoFar {
  readonly hash: Hash;
  readonly offsetBytes: number;
}

interface PartialFileParts {
  readonly files: Files;
  readonly partialPath: string;
  readonly blobPath: string;
  readonly hex: string;
  readonly sizeBytes: number;
  readonly known: HashSoFar;
  /** Gives the writer's place back; with a running hash where the file stays to be continued. */
  readonly release: (running: HashSoFar | undefined) => void;
  readonly freeBytes: () => Promise<number>;
}

export class PartialFile {
  readonly #parts: PartialFileParts;
  #hash: Hash;
  #writtenBytes: number;
  /** Gathers what is written; its own memory, because a source may use its buffer again at once. */
  #buffer = Buffer.alloc(0);
  #pendingBytes = 0;
  #open = true;
  /** After a failed append the file's length is unknown: nothing more may be written until it was opened anew. */
  #broken = false;

  private constructor(parts: PartialFileParts, hash: Hash, writtenBytes: number) {
    this.#parts = parts;
    this.#hash = hash;
    this.#writtenBytes = writtenBytes;
  }

  /** Continues at the file's length; hashes what is there unless `known` covers it already. Too long a file starts anew. */
  static async open(parts: PartialFileParts): Promise<PartialFile> {
    const onDiskBytes = (await parts.files.sizeBytes('content.stat', parts.partialPath)) ?? 0;
    if (onDiskBytes > parts.sizeBytes) {
      await parts.files.remove('content.discard', parts.partialPath);
      return new PartialFile(parts, createHash('sha256'), 0);
    }
    if (parts.known.offsetBytes === onDiskBytes) return new PartialFile(parts, parts.known.hash.copy(), onDiskBytes);
    const hash = createHash('sha256');
    let hashedBytes = 0;
    for await (const chunk of parts.files.stream('content.rehash', parts.partialPath, 0, onDiskBytes - 1)) {
      hash.update(chunk);
      hashedBytes += chunk.length;
    }
    return new PartialFile(parts, hash, hashedBytes);
  }

  /** Where the next byte belongs. */
  get offsetBytes(): number {
    return this.#writtenBytes + this.#pendingBytes;
  }

  get sizeBytes(): number {
    return this.#parts.sizeBytes;
  }

  /** Rejects with ContentError `size-mismatch` when there are more bytes than stated, `no-space` when the volume is full. */
  async write(chunk: Uint8Array): Promise<void> {
    assert(this.#open && !this.#broken, 'a partial file was written after it ended');
    if (this.offsetBytes + chunk.byteLength > this.#parts.sizeBytes) {
      throw new ContentError('size-mismatch', `more than the stated ${this.#parts.sizeBytes} bytes came`);
    }
    if (this.#buffer.length === 0) {
      this.#buffer = Buffer.allocUnsafeSlow(Math.min(APPEND_BYTES, this.#parts.sizeBytes - this.#writtenBytes));
    }
    for (let at = 0; at < chunk.byteLength;) {
      const part = chunk.subarray(at, at + this.#buffer.length - this.#pendingBytes);
      this.#buffer.set(part, this.#pendingBytes);
      this.#pendingBytes += part.byteLength;
      at += part.byteLength;
      if (this.#pendingBytes === this.#buffer.length) await this.#flush();
    }
  }

  /** Whether all bytes are there and are what the digest says. */
  async isRight(): Promise<boolean> {
    await this.#flush();
    return this.#writtenBytes === this.#parts.sizeBytes && this.#hash.copy().digest('hex') === this.#parts.hex;
  }

  /**
   * Flushes, checks size and digest, and makes it a blob. On `digest-mismatch` the bytes are gone. On `size-mismatch` (too
   * few came) and when the commit fails, the file stays open: the caller pauses or discards it.
   */
  async finish(): Promise<void> {
    if (this.offsetBytes < this.#parts.sizeBytes) {
      throw new ContentError('size-mismatch', `${this.offsetBytes} of ${this.#parts.sizeBytes} bytes came`);
    }
    if (!(await this.isRight())) {
      await this.discard();
      throw new ContentError('digest-mismatch', `the bytes received are not sha256:${this.#parts.hex}`);
    }
    const { files, partialPath, blobPath } = this.#parts;
    if (this.#writtenBytes === 0) await files.append('content.append', partialPath, new Uint8Array(0));
    await files.commit('content.commit', partialPath, blobPath);
    this.#close(undefined);
  }

  /** Keeps what came; `resume` continues there. Does nothing once finished or discarded. */
  async pause(): Promise<void> {
    if (!this.#open) return;
    try {
      await this.#flush();
    } finally {
      this.#close(this.#broken ? undefined : { hash: this.#hash, offsetBytes: this.#writtenBytes });
    }
  }

  /** Forgets all bytes and starts again at 0, keeping the writer's place. */
  async restart(): Promise<void> {
    this.#pendingBytes = 0;
    await this.#parts.files.remove('content.discard', this.#parts.partialPath);
    this.#hash = createHash('sha256');
    this.#writtenBytes = 0;
  }

  /** Removes all bytes. Does nothing once finished, paused or discarded. */
  async discard(): Promise<void> {
    if (!this.#open) return;
    this.#pendingBytes = 0;
    try {
      await this.#parts.files.remove('content.discard', this.#parts.partialPath);
    } finally {
      this.#close(undefined);
    }
  }

  async #flush(): Promise<void> {
    if (this.#pendingBytes === 0) return;
    const data = this.#buffer.subarray(0, this.#pendingBytes);
    this.#pendingBytes = 0;
    try {
      await this.#parts.files.append('content.append', this.#parts.partialPath, data);
    } catch (cause) {
      this.#broken = true;
      if (!isDiskFull(cause)) throw cause;
      throw noSpace(this.#parts.sizeBytes - this.#writtenBytes, await this.#parts.freeBytes(), cause);
    }
    this.#hash.update(data);
    this.#writtenBytes += data.byteLength;
  }

  #close(running: HashSoFar | undefined): void {
    if (!this.#open) return;
    this.#open = false;
    this.#parts.release(running);
  }
}

// The executor's side of the memory that it shares with its parent (tensor-arena.ts): the inherited file, mapped once. Feeds are
// views of it, for the engine to compute on. Answers are put there by a write to the file, not through the mapping: on a
// full volume a write fails, and the answer takes the pipe, where touching a page would be the end of the process.
import koffi from 'koffi';
import { writeSync } from 'node:fs';
import { memoryAt, type Pointer } from './capi/table.js';
import { FrameError } from '../frames.js';
import type { Region } from '../regions.js';
import { SHARED_FROM_BYTES } from '../tensor-arena.js';

const PROT_READ = 1;
const MAP_SHARED = 1;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;
/** Answers begin at multiples of this, as blobs in a frame do. */
const ALIGNMENT = 64;

export class MappedArena {
  readonly #fd: number;
  readonly #bytes: Uint8Array;

  /** Throws where koffi or the system can't map the file. */
  constructor(fd: number, sizeBytes: number) {
    const mmap = koffi
      .load('libc.so.6')
      .func('void* mmap(void* address, size_t length, int protection, int flags, int fd, int64_t offset)');
    const address = mmap(null, sizeBytes, PROT_READ, MAP_SHARED, fd, 0) as Pointer;
    if (address === null || address === MAP_FAILED) throw new Error(`mmap of ${sizeBytes} bytes failed`);
    this.#fd = fd;
    this.#bytes = memoryAt(address, sizeBytes);
  }

  /** The bytes where they lie. They are the run's until it is answered. Throws FrameError beyond the arena. */
  view(at: number, sizeBytes: number): Uint8Array {
    if (at < 0 || sizeBytes < 0 || at + sizeBytes > this.#bytes.byteLength) throw new FrameError(`${at} is no place`);
    return this.#bytes.subarray(at, at + sizeBytes);
  }

  /** Where the bytes of a view lie; undefined for other memory. */
  placeOf(data: Uint8Array): number | undefined {
    return data.buffer === this.#bytes.buffer ? data.byteOffset : undefined;
  }

  /** Copies large outputs into `region`, one after the other, while there is room; the others to memory of their own. */
  copier(region: Region): (output: Uint8Array) => Uint8Array {
    let used = 0;
    return (output) => {
      if (output.byteLength < SHARED_FROM_BYTES || output.byteLength > region.sizeBytes - used)
        return new Uint8Array(output);
      const at = region.at + used;
      try {
        if (writeSync(this.#fd, output, 0, output.byteLength, at) !== output.byteLength) return new Uint8Array(output);
      } catch {
        return new Uint8Array(output); // the volume is full
      }
      used += Math.ceil(output.byteLength / ALIGNMENT) * ALIGNMENT;
      return this.view(at, output.byteLength);
    };
  }
}

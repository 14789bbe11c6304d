// Memory that the runtime and one executor share, for tensors that are worth it: a nameless file in /dev/shm whose descriptor
// the executor inherits. This process reads and writes it by system calls, one copy each and no wake-ups between, and maps
// nothing: a full or shortened file is an error here, never a signal. The executor has it mapped and computes on the feeds where
// they lie (executor/mapped-arena.ts). Where there is no such file, or no room, tensors cross on the pipe.
//
// Invariants: a loan's regions are reused only after the executor has answered its run, or is gone with the whole arena; an
// answer is read only from its own run's region.
import { closeSync, ftruncateSync, openSync, readSync, statfsSync, unlinkSync, writeSync, type StatsFs } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { FrameError } from './frames.js';
import { Regions, type Region } from './regions.js';
import { reusedBuffers } from '../system/reused-buffers.js';
import type { Tensor } from '../tensor/tensor.js';

/** Tensors of one executor that may lie in the file at once. Address space until it is written to. */
const ARENA_BYTES = 256 << 20;
/** What an idle arena keeps: the next run finds its pages. */
const IDLE_BYTES = 8 << 20;
/** From here on a tensor is cheaper to share than to send (docs/performance.md). */
export const SHARED_FROM_BYTES = 32 << 10;
/** Of the volume, which others use too. */
const LEFT_FREE_SHARE = 0.25;
/** What an executor may leave between two outputs. */
const ALIGNMENT = 64;
const SHARED_MEMORY_FOLDER = '/dev/shm';
/** `f_type` of tmpfs: on another file system the tensors would be written to a disk. */
const TMPFS_MAGIC = 0x0102_1994;

/** What lies in the arena for one run. */
export interface ArenaLoan {
  /** By feed: where it lies; undefined for those that go on the pipe. */
  readonly feeds: readonly (Region | undefined)[];
  /** Where the executor may put the answer. */
  readonly answer: Region | undefined;
}

export class TensorArena {
  readonly fd: number;
  readonly sizeBytes: number;
  readonly #statfs: () => StatsFs;
  readonly #regions: Regions;
  /** The largest answer so far: what the next run's region holds. */
  #answerBytes = 0;
  /** No page beyond has been written since the last trim. */
  #writtenBytes = 0;
  #closed = false;

  /** Undefined where the platform has no shared memory to give. A test may have it smaller, or its volume full. */
  static open(
    sizeBytes = ARENA_BYTES,
    statfs = (): StatsFs => statfsSync(SHARED_MEMORY_FOLDER),
  ): TensorArena | undefined {
    if (process.platform !== 'linux') return undefined;
    try {
      if (statfs().type !== TMPFS_MAGIC) return undefined;
      const path = `${SHARED_MEMORY_FOLDER}/tidegate-${randomUUID()}`;
      const fd = openSync(path, 'wx+', 0o600);
      unlinkSync(path); // at once: whatever dies from now on, nothing stays behind
      return new TensorArena(fd, sizeBytes, statfs);
    } catch {
      return undefined; // no folder, no permission, no descriptors: the pipe does it
    }
  }

  private constructor(fd: number, sizeBytes: number, statfs: () => StatsFs) {
    this.fd = fd;
    this.sizeBytes = sizeBytes;
    this.#statfs = statfs;
    this.#regions = new Regions(sizeBytes);
  }

  /** Writes the large feeds. What finds no room is left to the pipe. */
  lend(feeds: readonly Tensor[]): ArenaLoan {
    const answer = this.#answerBytes < SHARED_FROM_BYTES ? undefined : this.#take(this.#answerBytes);
    return { feeds: feeds.map(({ data }) => this.#put(data)), answer };
  }

  /** The executor has answered. */
  release({ feeds, answer }: ArenaLoan): void {
    for (const region of feeds) if (region !== undefined) this.#regions.release(region);
    if (answer !== undefined) this.#regions.release(answer);
  }

  /** A copy of what the executor left in the loan's region, in memory that may be given back. Throws FrameError for a place outside it. */
  read({ answer }: ArenaLoan, at: number, sizeBytes: number): Uint8Array {
    if (answer === undefined || at < answer.at || sizeBytes < 0 || at + sizeBytes > answer.at + answer.sizeBytes) {
      throw new FrameError(`${sizeBytes} bytes at ${at} are not the run's own`);
    }
    const data = reusedBuffers.take(sizeBytes);
    if (readSync(this.fd, data, 0, sizeBytes, at) !== sizeBytes) throw new FrameError('the shared file is too short');
    return data;
  }

  /** The next answer gets room for one like this. */
  expect(outputs: readonly Tensor[]): void {
    let sum = 0;
    for (const { data } of outputs) sum += data.byteLength < SHARED_FROM_BYTES ? 0 : data.byteLength + ALIGNMENT;
    if (sum > this.#answerBytes) this.#answerBytes = sum;
  }

  /** Gives memory back while no run is in flight. */
  trim(): void {
    if (this.#writtenBytes <= IDLE_BYTES || this.#closed) return;
    ftruncateSync(this.fd, IDLE_BYTES);
    this.#writtenBytes = IDLE_BYTES;
  }

  /** The memory is gone once the executor is too. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.fd);
  }

  #put(data: Uint8Array): Region | undefined {
    if (data.byteLength < SHARED_FROM_BYTES) return undefined;
    const region = this.#take(data.byteLength);
    if (region === undefined) return undefined;
    try {
      if (writeSync(this.fd, data, 0, data.byteLength, region.at) === data.byteLength) return region;
    } catch {
      // the volume is full after all
    }
    this.#regions.release(region);
    return undefined;
  }

  #take(sizeBytes: number): Region | undefined {
    const region = this.#regions.take(sizeBytes);
    if (region === undefined) return undefined;
    const end = region.at + region.sizeBytes;
    if (end <= this.#writtenBytes) return region;
    if (!this.#hasRoom(region.sizeBytes)) {
      this.#regions.release(region);
      return undefined;
    }
    this.#writtenBytes = end;
    return region;
  }

  #hasRoom(sizeBytes: number): boolean {
    try {
      const { bavail, blocks, bsize } = this.#statfs();
      return bavail * bsize - sizeBytes >= LEFT_FREE_SHARE * blocks * bsize;
    } catch {
      return false; // nobody can say: the pipe does it
    }
  }
}

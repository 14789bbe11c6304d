// Triton's system shared memory extension (extension_shared_memory.md): inputs and outputs that lie in POSIX shared memory
// which the caller made, named by a region that it registered. Regions are read and written as the files of /dev/shm that
// they are: one copy each way, and no mapping, so a file that was shortened under us is an error and never a SIGBUS.
//
// Invariants: only regular files directly in the folder are opened, never through a link, and only those that are this
// user's own or that anybody may use, so a caller borrows no rights that it doesn't have; nothing is read or written outside
// what was registered; `unregister` settles when no request uses the region any more, so its memory may then be reused.
import { closeSync, constants, fstatSync, openSync, readSync, writeSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { ServingError } from './serving-error.js';
import { invalid } from './http/invalid.js';

const FOLDER = '/dev/shm';
/** Regions at one time; each holds an open file. Beyond: refused. */
const REGIONS_MAX = 256;
const REGION_NAME_LENGTH_MAX = 256;
/** What shm_open takes, as one file name; leading slashes are its habit and mean nothing. */
const KEY = /^\/{0,2}(?!\.{1,2}$)(?!sem\.)([A-Za-z0-9._-]{1,250})$/;
const ANYBODY_READS_AND_WRITES = 0o006;

interface SharedMemoryRegion {
  readonly name: string;
  /** As for shm_open. */
  readonly key: string;
  /** Where the region begins in the file. */
  readonly offset: number;
  readonly byteSize: number;
}

/** A part of a region, relative to its beginning. */
interface RegionPart {
  readonly region: string;
  readonly offset: number;
  readonly byteSize: number;
}

/** Where an output goes instead of into the answer. */
export interface OutputPlace extends RegionPart {
  /** Throws ServingError `invalid-argument` where the output is larger than the place, or the file became too short. */
  write(data: Uint8Array): void;
}

/** The regions that one request uses, from its parsing to its answer. */
export interface RegionUse {
  /** A copy. Throws ServingError naming `field`. */
  read(part: RegionPart, field: string): Uint8Array;
  place(part: RegionPart, field: string): OutputPlace;
  release(): void;
}

interface OpenRegion extends SharedMemoryRegion {
  readonly file: number;
  uses: number;
  onUnused: (() => void) | undefined;
}

export class SharedMemoryRegions {
  readonly #folder: string;
  readonly #regions = new Map<string, OpenRegion>();

  constructor(folder = FOLDER) {
    this.#folder = folder;
  }

  /** Throws ServingError: `invalid-argument` naming the field, `queue-full` where there are too many. */
  register(region: SharedMemoryRegion): void {
    const { name, key, offset, byteSize } = region;
    if (name === '' || name.length > REGION_NAME_LENGTH_MAX) throw invalid('region', 'expected 1 to 256 characters');
    if (this.#regions.has(name)) throw invalid('region', `${JSON.stringify(name)} is registered already`);
    if (this.#regions.size >= REGIONS_MAX) {
      throw new ServingError('queue-full', `${REGIONS_MAX} shared memory regions are registered; no more are taken`);
    }
    const file = this.#open(key);
    try {
      const stat = fstatSync(file);
      checkFile(stat, key);
      if (offset + byteSize > stat.size) {
        const text = `${offset} + ${byteSize} bytes, but ${JSON.stringify(key)} has ${stat.size}`;
        throw invalid('byte_size', text);
      }
    } catch (error) {
      closeSync(file);
      throw error;
    }
    this.#regions.set(name, { ...region, file, uses: 0, onUnused: undefined });
  }

  /** Of one region or all. Throws ServingError `not-found`. */
  status(name?: string): readonly SharedMemoryRegion[] {
    const found = name === undefined ? [...this.#regions.values()] : [this.#find(name)];
    return found.map(({ name: called, key, offset, byteSize }) => ({ name: called, key, offset, byteSize }));
  }

  /** From now on no request finds it; settles when those that use it have ended. One that isn't there is no error. */
  async unregister(name?: string): Promise<void> {
    const leaving = name === undefined ? [...this.#regions.keys()] : [name];
    await Promise.all(leaving.map((one) => this.#forget(one)));
  }

  use(): RegionUse {
    const used = new Set<OpenRegion>();
    const find = (part: RegionPart, field: string): OpenRegion => {
      const region = this.#regions.get(part.region);
      if (region === undefined) {
        const text = `no shared memory region ${JSON.stringify(part.region)} is registered`;
        throw invalid(`${field}.parameters.shared_memory_region`, text);
      }
      if (part.offset + part.byteSize > region.byteSize) {
        const text = `${part.offset} + ${part.byteSize} bytes, but the region has ${region.byteSize}`;
        throw invalid(`${field}.parameters.shared_memory_byte_size`, text);
      }
      if (!used.has(region)) region.uses += 1;
      used.add(region);
      return region;
    };
    return {
      read: (part, field) => readPart(find(part, field), part, field),
      place: (part, field) => {
        const region = find(part, field);
        return { ...part, write: (data) => writePart(region, part, data, field) };
      },
      release: () => {
        for (const region of used) {
          region.uses -= 1;
          if (region.uses === 0) region.onUnused?.();
        }
        used.clear();
      },
    };
  }

  async #forget(name: string): Promise<void> {
    const region = this.#regions.get(name);
    if (region === undefined) return;
    this.#regions.delete(name);
    if (region.uses > 0) await new Promise<void>((resolve) => (region.onUnused = resolve));
    closeSync(region.file);
  }

  #find(name: string): OpenRegion {
    const region = this.#regions.get(name);
    if (region !== undefined) return region;
    const text = `no shared memory region ${JSON.stringify(name)} is registered`;
    throw new ServingError('not-found', text, { field: 'region' });
  }

  #open(key: string): number {
    const file = KEY.exec(key)?.[1];
    if (file === undefined) throw invalid('key', `${JSON.stringify(key)} is no name of shared memory`);
    try {
      return openSync(join(this.#folder, file), constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      const why = code === 'ENOENT' ? 'there is none of that name' : `it can't be opened (${code})`;
      throw invalid('key', `${JSON.stringify(key)}: ${why}`, cause);
    }
  }
}

function checkFile(stat: Stats, key: string): void {
  if (!stat.isFile()) throw invalid('key', `${JSON.stringify(key)} is no shared memory`);
  const own = stat.uid === process.geteuid?.();
  if (own || (stat.mode & ANYBODY_READS_AND_WRITES) === ANYBODY_READS_AND_WRITES) return;
  throw invalid('key', `${JSON.stringify(key)} belongs to another user, who has not opened it to all`);
}

function readPart(region: OpenRegion, part: RegionPart, field: string): Uint8Array {
  const data = new Uint8Array(new ArrayBuffer(part.byteSize));
  const start = region.offset + part.offset;
  for (let at = 0; at < data.byteLength;) {
    const count = readSync(region.file, data, at, data.byteLength - at, start + at);
    if (count === 0) throw shortened(region, field);
    at += count;
  }
  return data;
}

function writePart(region: OpenRegion, part: RegionPart, data: Uint8Array, field: string): void {
  if (data.byteLength > part.byteSize) {
    const text = `the output takes ${data.byteLength} bytes, its place has ${part.byteSize}`;
    throw invalid(`${field}.parameters.shared_memory_byte_size`, text);
  }
  const start = region.offset + part.offset;
  if (fstatSync(region.file).size < start + data.byteLength) throw shortened(region, field);
  for (let at = 0; at < data.byteLength;) {
    at += writeSync(region.file, data, at, data.byteLength - at, start + at);
  }
}

function shortened({ name, key }: OpenRegion, field: string): ServingError {
  const text = `${JSON.stringify(key)} has become shorter than the region ${JSON.stringify(name)} that was registered`;
  return invalid(`${field}.parameters.shared_memory_region`, text);
}

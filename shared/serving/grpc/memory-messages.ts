// Triton's system shared memory extension as messages (SystemSharedMemoryRegisterRequest and its siblings): the regions are those of HTTP,
// whichever protocol registered them.
import { invalid } from '../http/invalid.js';
import type { SharedMemoryRegions } from '../shared-memory.js';
import { ProtoReader } from './proto-reader.js';
import type { ProtoWriter } from './proto-writer.js';

/** Throws ServingError, as SharedMemoryRegions.register, and `invalid-argument` for sizes that are none. */
export function registerRegion(message: Buffer, regions: SharedMemoryRegions): void {
  const reader = new ProtoReader(message);
  let name = '';
  let key = '';
  let offset = 0n;
  let byteSize = 0n;
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) name = reader.string();
    else if (field === 2) key = reader.string();
    else if (field === 3) offset = reader.uint64();
    else if (field === 4) byteSize = reader.uint64();
    else reader.skip();
  }
  if (byteSize === 0n) throw invalid('byte_size', 'expected a number of bytes, got 0');
  regions.register({ name, key, offset: sizeOf(offset, 'offset'), byteSize: sizeOf(byteSize, 'byte_size') });
}

/** Unregisters one, or all where the message names none. */
export function unregisterRegions(message: Buffer, regions: SharedMemoryRegions): Promise<void> {
  return regions.unregister(regionNamed(message));
}

/** SystemSharedMemoryStatusResponse, a map by name. Throws ServingError `not-found`. */
export function writeRegions(writer: ProtoWriter, message: Buffer, regions: SharedMemoryRegions): void {
  for (const { name, key, offset, byteSize } of regions.status(regionNamed(message))) {
    writer.message(1, () => {
      writer.string(1, name);
      writer.message(2, () => {
        writer.string(1, name);
        writer.string(2, key);
        writer.unsigned(3, offset);
        writer.unsigned(4, byteSize);
      });
    });
  }
}

function regionNamed(message: Buffer): string | undefined {
  const reader = new ProtoReader(message);
  let name = '';
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) name = reader.string();
    else reader.skip();
  }
  return name === '' ? undefined : name;
}

function sizeOf(value: bigint, field: string): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw invalid(field, `${value} is more than any memory has`);
}

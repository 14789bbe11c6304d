// Tar archives (POSIX ustar) of small files in memory, for the support bundle: no package needed for two header fields more
// than a list of names and bytes. Pure.

export interface ArchiveFile {
  /** Relative, with `/`; at most 100 bytes, which is the header's field. */
  readonly path: string;
  readonly data: Uint8Array;
}

const BLOCK = 512;
const LIMIT_PATH_BYTES = 100;
const LIMIT_FILE_BYTES = 0o77777777777;

/** Files with mode 0600 and the time `mtimeMs`. Throws RangeError for a path or size that ustar's header can't hold. */
export function tarOf(files: readonly ArchiveFile[], mtimeMs: number): Buffer {
  const parts = files.flatMap(({ path, data }) => {
    const padding = Buffer.alloc((BLOCK - (data.byteLength % BLOCK)) % BLOCK);
    return [header(path, data.byteLength, mtimeMs), Buffer.from(data), padding];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]); // two empty blocks end an archive
}

/** The fields of a ustar header: name 0, mode 100, uid 108, gid 116, size 124, mtime 136, checksum 148, type 156, magic 257. */
function header(path: string, sizeBytes: number, mtimeMs: number): Buffer {
  if (Buffer.byteLength(path) > LIMIT_PATH_BYTES) throw new RangeError(`path longer than 100 bytes: ${path}`);
  if (sizeBytes > LIMIT_FILE_BYTES) throw new RangeError(`${path} is larger than 8 GiB`);
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')}\0`;
  block.write(path, 0);
  block.write(octal(0o600, 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(sizeBytes, 11), 124);
  block.write(octal(Math.max(0, Math.floor(mtimeMs / 1000)), 11), 136);
  block.write(' '.repeat(8), 148); // counts as spaces in its own sum
  block.write('0', 156);
  block.write('ustar\u000000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

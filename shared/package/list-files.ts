// What files a package folder holds: found, bounded, hashed as streams (a model may be larger than memory). Symbolic
// links are refused, since they could name a file outside the package; names that begin with a dot are left out.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { LIMIT_PACKAGE_FILES, packagePathSchema, type FileEntry } from '../wire/manifest.js';
import { PackageError } from './package-error.js';

const LIMIT_FOLDER_DEPTH = 16;

/** Paths of the folder's files, sorted by code unit. Rejects with PackageError `invalid-file`, `too-large`. */
export async function listFiles(folder: string): Promise<string[]> {
  const found: string[] = [];
  const visit = async (relative: string, depth: number): Promise<void> => {
    if (depth > LIMIT_FOLDER_DEPTH) {
      throw new PackageError('too-large', `folders are nested deeper than ${LIMIT_FOLDER_DEPTH}`, { file: relative });
    }
    for (const entry of await fs.readdir(join(folder, relative), { withFileTypes: true })) {
      if (entry.name.startsWith('.')) continue;
      const path = relative === '' ? entry.name : `${relative}/${entry.name}`;
      if (entry.isDirectory()) {
        await visit(path, depth + 1);
        continue;
      }
      checkEntry(path, entry.isFile(), entry.isSymbolicLink());
      found.push(path);
      if (found.length > LIMIT_PACKAGE_FILES) {
        throw new PackageError('too-large', `a package holds at most ${LIMIT_PACKAGE_FILES} files`, { file: folder });
      }
    }
  };
  await visit('', 0);
  return found.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

function checkEntry(path: string, isFile: boolean, isSymbolicLink: boolean): void {
  if (isSymbolicLink) {
    throw new PackageError('invalid-file', 'is a symbolic link; a package holds its files itself', { file: path });
  }
  if (!isFile) throw new PackageError('invalid-file', 'is neither a file nor a folder', { file: path });
  if (!packagePathSchema.safeParse(path).success) {
    throw new PackageError('invalid-file', 'has a name that a package may not hold (backslash, NUL or too long)', {
      file: path,
    });
  }
}

/** How a file lies: equal texts mean that it wasn't written, replaced or moved in between. Rejects where there is none. */
export async function lieOf(path: string): Promise<string> {
  const { ino, size, mtimeNs, ctimeNs } = await fs.stat(path, { bigint: true });
  return [ino, size, mtimeNs, ctimeNs].join(' ');
}

/** Size and SHA-256 of each file, in the order of `paths`. */
export async function hashFiles(folder: string, paths: readonly string[], signal?: AbortSignal): Promise<FileEntry[]> {
  const entries: FileEntry[] = [];
  for (const path of paths) {
    signal?.throwIfAborted();
    const hash = createHash('sha256');
    let sizeBytes = 0;
    for await (const chunk of createReadStream(join(folder, path), {
      highWaterMark: 1024 * 1024,
    }) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      sizeBytes += chunk.byteLength;
    }
    entries.push({ path, sizeBytes, digest: `sha256:${hash.digest('hex')}` });
  }
  return entries;
}

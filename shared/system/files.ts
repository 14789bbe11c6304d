// File operations as a dependency, each with a tag that names the operation ("content.commit"), so that a test can fail
// exactly one (litefs's way). Durability is spelled out: what returns from `writeAtomic` or `commit` survives a power cut.
import * as fs from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { dirname } from 'node:path';

/** A file that is open for reading at any place. */
export interface OpenFile {
  /** Bytes at `offsetBytes`; fewer than asked for only at the file's end. */
  read(offsetBytes: number, sizeBytes: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

export interface Files {
  read(tag: string, path: string): Promise<Uint8Array>;
  /** Writes beside the target, fsyncs, renames, fsyncs the folder: the old content or the new, never a torn one. */
  writeAtomic(tag: string, path: string, data: Uint8Array | string, mode?: number): Promise<void>;
  append(tag: string, path: string, data: Uint8Array): Promise<void>;
  /** fsyncs a finished file, renames it and fsyncs the target's folder. */
  commit(tag: string, from: string, to: string): Promise<void>;
  /** Gives a file a second name; copies it where the volume has no hard links. Rejects when `to` exists. */
  link(tag: string, from: string, to: string): Promise<void>;
  remove(tag: string, path: string): Promise<void>;
  list(tag: string, path: string): Promise<string[]>;
  sizeBytes(tag: string, path: string): Promise<number | undefined>;
  stream(tag: string, path: string, start?: number, endInclusive?: number): NodeJS.ReadableStream;
  /** Opens for reads by position. The caller closes. */
  open(tag: string, path: string): Promise<OpenFile>;
  makeFolder(tag: string, path: string): Promise<void>;
  /** Free bytes on the volume that holds `path`. */
  freeBytes(tag: string, path: string): Promise<number>;
}

/** What the systems say for volumes without hard links, and for one name too many or on another volume. */
const NO_HARD_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK', 'EXDEV']);

async function fsyncPath(path: string): Promise<void> {
  const handle = await fs.open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function commitRename(from: string, to: string): Promise<void> {
  await fsyncPath(from);
  await fs.rename(from, to);
  await fsyncPath(dirname(to));
}

export const systemFiles: Files = {
  read: (_tag, path) => fs.readFile(path),
  writeAtomic: async (_tag, path, data, mode) => {
    const temporary = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`;
    await fs.mkdir(dirname(path), { recursive: true });
    try {
      await fs.writeFile(temporary, data, mode === undefined ? {} : { mode });
      await commitRename(temporary, path);
    } catch (cause) {
      await fs.rm(temporary, { force: true });
      throw cause;
    }
  },
  append: (_tag, path, data) => fs.appendFile(path, data),
  commit: (_tag, from, to) => commitRename(from, to),
  link: async (_tag, from, to) => {
    try {
      await fs.link(from, to);
    } catch (cause) {
      if (!NO_HARD_LINKS.has((cause as NodeJS.ErrnoException).code ?? '')) throw cause;
      await fs.copyFile(from, to, fs.constants.COPYFILE_EXCL);
    }
  },
  remove: (_tag, path) => fs.rm(path, { force: true, recursive: true }),
  list: async (_tag, path) => {
    try {
      return (await fs.readdir(path)).sort();
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw cause;
    }
  },
  sizeBytes: async (_tag, path) => {
    try {
      return (await fs.stat(path)).size;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw cause;
    }
  },
  stream: (_tag, path, start, endInclusive) =>
    createReadStream(path, {
      ...(start === undefined ? {} : { start }),
      ...(endInclusive === undefined ? {} : { end: endInclusive }),
    }),
  open: async (_tag, path) => {
    const handle = await fs.open(path, 'r');
    return {
      read: async (offsetBytes, sizeBytes) => {
        const data = new Uint8Array(sizeBytes);
        let done = 0;
        while (done < sizeBytes) {
          const { bytesRead } = await handle.read(data, done, sizeBytes - done, offsetBytes + done);
          if (bytesRead === 0) break;
          done += bytesRead;
        }
        return data.subarray(0, done);
      },
      close: () => handle.close(),
    };
  },
  makeFolder: async (_tag, path) => {
    try {
      await fs.mkdir(path, { recursive: true });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
      await fs.mkdir(path); // of a read-only volume Node says ENOENT; this says EROFS
    }
  },
  freeBytes: async (_tag, path) => {
    const stat = await fs.statfs(path);
    return stat.bavail * stat.bsize;
  },
};

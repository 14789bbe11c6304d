// Files that fail on demand: the next operation with a given tag rejects with a given error code, all others are real.
// This is how a test breaks exactly one write of a component.
import { appendFile } from 'node:fs/promises';
import { systemFiles, type Files } from '@tidegate/shared/system/files.js';

export interface FailingFiles extends Files {
  /** The next operation with this tag fails; `partialBytes` of an append are still written first. */
  failNext(tag: string, code: string, partialBytes?: number): void;
  /** What `freeBytes` says from now on; undefined for the truth. */
  pretendFreeBytes(bytes: number | undefined): void;
  /** Tags of all operations so far, in order. */
  readonly calls: string[];
}

export function failingFiles(): FailingFiles {
  const armed = new Map<string, { code: string; partialBytes: number }>();
  const calls: string[] = [];
  let free: number | undefined;
  const check = (tag: string): void => {
    calls.push(tag);
    const failure = armed.get(tag);
    if (failure === undefined) return;
    armed.delete(tag);
    throw Object.assign(new Error(`${failure.code}: injected at ${tag}`), { code: failure.code });
  };
  return {
    calls,
    failNext: (tag, code, partialBytes = 0) => void armed.set(tag, { code, partialBytes }),
    pretendFreeBytes: (bytes) => {
      free = bytes;
    },
    read: async (tag, path) => (check(tag), systemFiles.read(tag, path)),
    writeAtomic: async (tag, path, data, mode) => (check(tag), systemFiles.writeAtomic(tag, path, data, mode)),
    append: async (tag, path, data) => {
      const partialBytes = armed.get(tag)?.partialBytes ?? 0;
      if (partialBytes > 0) await appendFile(path, data.subarray(0, partialBytes));
      check(tag);
      await systemFiles.append(tag, path, data);
    },
    commit: async (tag, from, to) => (check(tag), systemFiles.commit(tag, from, to)),
    link: async (tag, from, to) => (check(tag), systemFiles.link(tag, from, to)),
    remove: async (tag, path) => (check(tag), systemFiles.remove(tag, path)),
    list: async (tag, path) => (check(tag), systemFiles.list(tag, path)),
    sizeBytes: async (tag, path) => (check(tag), systemFiles.sizeBytes(tag, path)),
    stream: (tag, path, start, end) => (check(tag), systemFiles.stream(tag, path, start, end)),
    open: async (tag, path) => {
      check(tag);
      const file = await systemFiles.open(tag, path);
      return { ...file, read: async (offset, size) => (check(`${tag}.read`), file.read(offset, size)) };
    },
    makeFolder: async (tag, path) => (check(tag), systemFiles.makeFolder(tag, path)),
    freeBytes: async (tag, path) => (check(tag), free ?? (await systemFiles.freeBytes(tag, path))),
  };
}

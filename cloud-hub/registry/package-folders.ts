// Packages as folders, made from the content store: hard links where the file system has them, copies elsewhere. A folder is built
// beside its place and renamed, so one that exists is whole. It is a cache: it may be deleted at any time and is made anew.
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import { hexOf, type Digest } from '@tidegate/shared/wire/digest.js';
import { packagePathSchema, type FileEntry } from '@tidegate/shared/wire/manifest.js';

export class PackageFolders {
  readonly #root: string;
  readonly #content: ContentStore;

  constructor(root: string, content: ContentStore) {
    this.#root = root;
    this.#content = content;
  }

  /** The folder of the package whose manifest has this digest. Rejects where the store lacks one of its files. */
  async folderOf(manifestDigest: Digest, files: readonly FileEntry[]): Promise<string> {
    const target = join(this.#root, hexOf(manifestDigest));
    if (await exists(target)) return target;
    const building = `${target}.${randomBytes(6).toString('hex')}.tmp`;
    try {
      for (const file of files) await this.#place(file, join(building, packagePathSchema.parse(file.path)));
      await fs.rename(building, target);
    } catch (cause) {
      await fs.rm(building, { recursive: true, force: true });
      if (await exists(target)) return target; // another call was faster
      throw cause;
    }
    return target;
  }

  /** Takes every file of a folder into the store and returns them, sorted by path. */
  async storeFolder(folder: string, files: readonly FileEntry[]): Promise<void> {
    for (const file of files) {
      if (await this.#content.has(file.digest)) continue;
      const handle = await fs.open(join(folder, file.path), 'r');
      try {
        await this.#content.put(handle.createReadStream(), file);
      } finally {
        await handle.close();
      }
    }
  }

  /** What an interrupted run left. */
  async removeUnfinished(): Promise<void> {
    for (const name of await namesIn(this.#root)) {
      if (name.endsWith('.tmp')) await fs.rm(join(this.#root, name), { recursive: true, force: true });
    }
  }

  async #place(file: FileEntry, path: string): Promise<void> {
    await fs.mkdir(dirname(path), { recursive: true });
    const stored = this.#content.path(file.digest);
    try {
      await fs.link(stored, path);
    } catch (cause) {
      if (!LINK_REFUSALS.has((cause as NodeJS.ErrnoException).code ?? '')) throw cause;
      await fs.copyFile(stored, path);
    }
  }
}

/** What file systems without hard links, or with too many of them, answer. */
const LINK_REFUSALS = new Set(['EXDEV', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK', 'ENOSYS']);

async function exists(path: string): Promise<boolean> {
  try {
    await fs.access(path);
    return true;
  } catch {
    return false; // not there: it will be made
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await fs.readdir(folder);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw cause;
  }
}

// Shards as the reader takes them: each is held against its digest once, before its first byte is used, and read by position from
// then on, through a bounded number of open files.
import { createHash } from 'node:crypto';
import type { Files, OpenFile } from '@tidegate/shared/system/files.js';
import { hexOf, type Digest } from '@tidegate/shared/wire/digest.js';
import { DataError } from './data-error.js';

const LIMIT_OPEN_FILES = 16;

export interface ShardPlace {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

interface OpenShard {
  readonly file: Promise<OpenFile>;
  /** Reads under way; a file is closed only without any. */
  readers: number;
}

interface ShardModules {
  readonly files: Files;
  /** Where a shard lies. */
  readonly pathOf: (digest: Digest) => string;
}

export class ShardFiles {
  readonly #m: ShardModules;
  readonly #verified = new Map<Digest, Promise<void>>();
  /** Least recently used first. */
  readonly #open = new Map<Digest, OpenShard>();

  constructor(modules: ShardModules) {
    this.#m = modules;
  }

  /**
   * Bytes of a shard. The first call for a shard reads all of it. Rejects with DataError `invalid` (field `shards`) where the shard
   * is missing, is not what its digest says, or ends before.
   */
  async read(shard: ShardPlace, offsetBytes: number, sizeBytes: number): Promise<Uint8Array> {
    await this.#verify(shard);
    const open = this.#opened(shard.digest);
    open.readers += 1;
    try {
      const file = await open.file;
      const data = await file.read(offsetBytes, sizeBytes);
      if (data.byteLength !== sizeBytes) throw damaged(shard.digest, `ends before byte ${offsetBytes + sizeBytes}`);
      return data;
    } finally {
      open.readers -= 1;
      await this.#closeIdle(LIMIT_OPEN_FILES);
    }
  }

  async close(): Promise<void> {
    await this.#closeIdle(0);
  }

  #verify(shard: ShardPlace): Promise<void> {
    const known = this.#verified.get(shard.digest);
    if (known !== undefined) return known;
    const verifying = this.#hash(shard);
    this.#verified.set(shard.digest, verifying);
    return verifying;
  }

  async #hash({ digest, sizeBytes }: ShardPlace): Promise<void> {
    const path = this.#m.pathOf(digest);
    const actual = await this.#m.files.sizeBytes('shard.stat', path);
    if (actual === undefined) throw damaged(digest, 'is not in the store');
    if (actual !== sizeBytes) throw damaged(digest, `has ${actual} bytes, not ${sizeBytes}`);
    const hash = createHash('sha256');
    for await (const chunk of this.#m.files.stream('shard.verify', path)) hash.update(chunk);
    if (hash.digest('hex') !== hexOf(digest)) throw damaged(digest, 'is not what its digest says');
  }

  #opened(digest: Digest): OpenShard {
    const known = this.#open.get(digest);
    const shard = known ?? { file: this.#m.files.open('shard.open', this.#m.pathOf(digest)), readers: 0 };
    this.#open.delete(digest);
    this.#open.set(digest, shard);
    shard.file.catch(() => {
      if (this.#open.get(digest) === shard) this.#open.delete(digest); // nothing to close; the next read tries again
    });
    return shard;
  }

  async #closeIdle(keep: number): Promise<void> {
    for (const [digest, { file, readers }] of this.#open) {
      if (this.#open.size <= keep) return;
      if (readers > 0) continue;
      this.#open.delete(digest);
      await (await file).close();
    }
  }
}

function damaged(digest: Digest, reason: string): DataError {
  return new DataError('invalid', `the shard ${digest} ${reason}`, { field: 'shards' });
}

// Content-addressed files on disk, used by the hub's registry and by the agent's model store:
//   blobs/<hex>     whole, verified, never written again
//   partial/<hex>   a download or upload under way; survives restarts and is continued at its length
// Invariant: a name under blobs/ exists only after its bytes were hashed to that name, flushed, and renamed into place. So
// `has` needs no hashing, and a power cut at any moment leaves a blob whole or absent.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Files } from '../system/files.js';
import { digestSchema, hexOf, sha256, type Digest } from '../wire/digest.js';
import { ContentError, noSpace } from './content-error.js';
import { PartialFile, type HashSoFar } from './partial-file.js';

/** Largest blob that `read` brings into memory. */
const LIMIT_READ_BYTES = 64 * 1024 * 1024;
/** Unfinished files whose running hash is kept between two pieces; others are hashed anew from disk when continued. */
const LIMIT_RUNNING_HASHES = 256;

interface ContentStoreOptions {
  readonly folder: string;
  /** Space that content may not use up, so that state can still be written on a nearly full volume. Default 16 MiB. */
  readonly reserveBytes?: number;
}

export interface Expected {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

export class ContentStore {
  readonly #folder: string;
  readonly #reserveBytes: number;
  readonly #files: Files;
  readonly #writing = new Set<string>();
  readonly #hashes = new Map<string, HashSoFar>();

  private constructor(options: ContentStoreOptions, files: Files) {
    this.#folder = options.folder;
    this.#reserveBytes = options.reserveBytes ?? 16 * 1024 * 1024;
    this.#files = files;
  }

  /** Makes the folders. Unfinished downloads of an earlier run stay and can be continued. */
  static async open(options: ContentStoreOptions, files: Files): Promise<ContentStore> {
    const store = new ContentStore(options, files);
    await files.makeFolder('content.open', join(options.folder, 'blobs'));
    await files.makeFolder('content.open', join(options.folder, 'partial'));
    return store;
  }

  /** Where the blob is, or would be. Throws a TypeError for a text that is no digest. */
  path(digest: Digest): string {
    return join(this.#folder, 'blobs', checkedHex(digest));
  }

  async has(digest: Digest): Promise<boolean> {
    return (await this.sizeBytes(digest)) !== undefined;
  }

  async sizeBytes(digest: Digest): Promise<number | undefined> {
    return this.#files.sizeBytes('content.stat', this.path(digest));
  }

  /** The whole blob, up to LIMIT_READ_BYTES. Rejects with ContentError `not-found` or `size-mismatch` (too large). */
  async read(digest: Digest): Promise<Uint8Array> {
    const sizeBytes = await this.#existing(digest);
    if (sizeBytes > LIMIT_READ_BYTES) {
      throw new ContentError(
        'size-mismatch',
        `${digest} has ${sizeBytes} bytes; at most ${LIMIT_READ_BYTES} are read at once`,
      );
    }
    return this.#files.read('content.read', this.path(digest));
  }

  /** Bytes `start`..`endInclusive` of the blob. Rejects with ContentError `not-found`. */
  async stream(digest: Digest, start?: number, endInclusive?: number): Promise<NodeJS.ReadableStream> {
    await this.#existing(digest);
    return this.#files.stream('content.stream', this.path(digest), start, endInclusive);
  }

  /** Stores bytes that are in memory; returns their digest. */
  async putBytes(data: Uint8Array): Promise<Digest> {
    const digest = sha256(data);
    await this.put([data], { digest, sizeBytes: data.byteLength });
    return digest;
  }

  /**
   * Stores a whole source. Does nothing when the blob is already there. Rejects with ContentError `size-mismatch`,
   * `digest-mismatch`, `no-space` or `busy`; nothing remains of a refused source.
   */
  async put(
    source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    expected: Expected,
    signal?: AbortSignal,
  ): Promise<void> {
    if (await this.has(expected.digest)) return;
    const partial = await this.resume(expected);
    try {
      if (partial.offsetBytes > 0) await partial.restart();
      for await (const chunk of source) {
        signal?.throwIfAborted();
        await partial.write(chunk);
      }
      await partial.finish();
    } catch (cause) {
      await partial.discard();
      throw cause;
    }
  }

  /** Bytes received so far of a blob that isn't whole yet. */
  async partialBytes(digest: Digest): Promise<number> {
    return (await this.#files.sizeBytes('content.stat', this.#partialPath(digest))) ?? 0;
  }

  /**
   * Opens the partial file for appending at its present length (`offsetBytes`). One writer at a time; it must end with
   * `finish`, `pause` or `discard`. Rejects with `no-space` before the first byte when the rest won't fit (B5), and `busy`.
   */
  async resume(expected: Expected): Promise<PartialFile> {
    const hex = checkedHex(expected.digest);
    if (this.#writing.has(hex)) throw new ContentError('busy', `${expected.digest} is being received already`);
    this.#writing.add(hex);
    try {
      const offsetBytes = await this.partialBytes(expected.digest);
      await this.#checkSpace(Math.max(0, expected.sizeBytes - offsetBytes));
      return await PartialFile.open({
        files: this.#files,
        partialPath: this.#partialPath(expected.digest),
        blobPath: this.path(expected.digest),
        hex,
        sizeBytes: expected.sizeBytes,
        known: this.#hashes.get(hex) ?? { hash: createHash('sha256'), offsetBytes: 0 },
        release: (running) => this.#release(hex, running),
        freeBytes: () => this.#freeBytes(),
      });
    } catch (cause) {
      this.#writing.delete(hex);
      throw cause;
    }
  }

  async remove(digest: Digest): Promise<void> {
    await this.#files.remove('content.remove', this.path(digest));
  }

  /**
   * Removes every blob and partial file that `keep` does not name. The caller sees to it that nothing is being added that
   * `keep` does not know yet; files with a writer are left alone.
   */
  async removeExcept(keep: ReadonlySet<Digest>): Promise<{ readonly removed: number; readonly freedBytes: number }> {
    let removed = 0;
    let freedBytes = 0;
    for (const folder of ['blobs', 'partial']) {
      for (const hex of await this.#files.list('content.list', join(this.#folder, folder))) {
        if (keep.has(`sha256:${hex}`) || this.#writing.has(hex)) continue;
        const path = join(this.#folder, folder, hex);
        freedBytes += (await this.#files.sizeBytes('content.stat', path)) ?? 0;
        await this.#files.remove('content.remove', path);
        this.#hashes.delete(hex);
        removed += 1;
      }
    }
    return { removed, freedBytes };
  }

  /** Digests of all whole blobs. */
  async list(): Promise<Digest[]> {
    return (await this.#files.list('content.list', join(this.#folder, 'blobs'))).map((hex) => `sha256:${hex}`);
  }

  /** Rejects with ContentError `no-space` when `needBytes` more would not fit beside the reserve. */
  async #checkSpace(needBytes: number): Promise<void> {
    const haveBytes = await this.#freeBytes();
    if (needBytes > haveBytes) throw noSpace(needBytes, haveBytes);
  }

  async #freeBytes(): Promise<number> {
    return Math.max(0, (await this.#files.freeBytes('content.free', this.#folder)) - this.#reserveBytes);
  }

  #release(hex: string, running: HashSoFar | undefined): void {
    this.#writing.delete(hex);
    this.#hashes.delete(hex);
    if (running === undefined) return;
    this.#hashes.set(hex, running);
    const oldest = this.#hashes.keys().next();
    if (this.#hashes.size > LIMIT_RUNNING_HASHES && oldest.value !== undefined) this.#hashes.delete(oldest.value);
  }

  #partialPath(digest: Digest): string {
    return join(this.#folder, 'partial', checkedHex(digest));
  }

  async #existing(digest: Digest): Promise<number> {
    const sizeBytes = await this.sizeBytes(digest);
    if (sizeBytes === undefined) throw new ContentError('not-found', `${digest} is not in the store`);
    return sizeBytes;
  }
}

function checkedHex(digest: Digest): string {
  if (!digestSchema.safeParse(digest).success) throw new TypeError(`not a digest: ${digest}`);
  return hexOf(digest);
}

// The device's models on disk:
//   models/blobs, partial   content-addressed files (shared/content)
//   models/manifests/<hex>  canonical variant manifests, stored only after signed metadata named their digest
//   models/packages/<hex>/  what the engine loads: hard links to blobs under the manifest's paths
//   engine-cache/           what executors made of their graphs: it goes with the variant
// A manifest on disk therefore is the proof that its variant was once authorised: later starts need neither the hub nor
// unexpired metadata (field lessons B2, B4), only that the bytes still have the digests that the manifest says. Its own
// digest is the variant's digest, which the state database holds.
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import type { Files } from '@tidegate/shared/system/files.js';
import { hexOf, sha256, type Digest } from '@tidegate/shared/wire/digest.js';
import { variantManifestSchema, type FileEntry, type VariantManifest } from '@tidegate/shared/wire/manifest.js';
import { compiledFolder, removeCompiled } from './compiled-graphs.js';
import { ModelStoreError } from './model-store-error.js';

/** Where things of a variant lie. */
export function variantPaths(dataDir: string, variantDigest: Digest): { manifest: string; packageFolder: string } {
  const hex = hexOf(variantDigest);
  const folder = join(dataDir, 'models');
  return { manifest: join(folder, 'manifests', `${hex}.json`), packageFolder: join(folder, 'packages', hex) };
}

export class ModelStore {
  readonly content: ContentStore;
  readonly #dataDir: string;
  readonly #files: Files;

  private constructor(dataDir: string, content: ContentStore, files: Files) {
    this.#dataDir = dataDir;
    this.content = content;
    this.#files = files;
  }

  /** Opens `<dataDir>/models`. `reserveBytes` of free space stay untouched for the agent's state. */
  static async open(options: { dataDir: string; reserveBytes?: number }, files: Files): Promise<ModelStore> {
    const folder = join(options.dataDir, 'models');
    const { reserveBytes } = options;
    const content = await ContentStore.open({ folder, ...(reserveBytes === undefined ? {} : { reserveBytes }) }, files);
    for (const name of ['manifests', 'packages']) await files.makeFolder('models.open', join(folder, name));
    return new ModelStore(options.dataDir, content, files);
  }

  /** Where the variant's package lies once assembled. */
  packageFolder(variantDigest: Digest): string {
    return variantPaths(this.#dataDir, variantDigest).packageFolder;
  }

  /** Keeps a manifest whose digest signed metadata has named. Rejects `damaged` when the bytes are not that manifest. */
  async saveManifest(variantDigest: Digest, bytes: Uint8Array): Promise<VariantManifest> {
    const manifest = parseManifest(variantDigest, bytes);
    await this.#files.writeAtomic('models.manifest', this.#manifestPath(variantDigest), bytes);
    return manifest;
  }

  /** The verified manifest, or undefined where there is none (or its bytes have changed on disk: then it counts as none). */
  async manifest(variantDigest: Digest): Promise<VariantManifest | undefined> {
    const path = this.#manifestPath(variantDigest);
    if ((await this.#files.sizeBytes('models.stat', path)) === undefined) return undefined;
    try {
      return parseManifest(variantDigest, await this.#files.read('models.manifest', path));
    } catch (cause) {
      if (!(cause instanceof ModelStoreError)) throw cause;
      await this.#files.remove('models.discard', path);
      return undefined;
    }
  }

  /** Files of the manifest that are not on disk yet, each digest once. */
  async missing(manifest: VariantManifest): Promise<FileEntry[]> {
    const byDigest = new Map(manifest.files.map((file) => [file.digest, file]));
    const missing: FileEntry[] = [];
    for (const file of byDigest.values()) if (!(await this.content.has(file.digest))) missing.push(file);
    return missing;
  }

  /** Free bytes that models may use: the volume's, less the reserve for state. */
  async freeBytes(reserveBytes: number): Promise<number> {
    return Math.max(0, (await this.#files.freeBytes('models.free', join(this.#dataDir, 'models'))) - reserveBytes);
  }

  /**
   * Makes the package folder anew from blobs and reads every file once against its digest. Resolves with the folder.
   * Rejects `missing` (no manifest, or a file is not there) or `damaged`; damaged blobs are removed, so that the next
   * download fetches exactly these again.
   */
  async verifyPackage(variantDigest: Digest, signal: AbortSignal): Promise<string> {
    const manifest = await this.manifest(variantDigest);
    if (manifest === undefined) throw new ModelStoreError('missing', `no verified manifest of ${variantDigest}`);
    const folder = this.packageFolder(variantDigest);
    const writable = await this.#clear(folder);
    const damaged: string[] = [];
    for (const file of manifest.files) {
      signal.throwIfAborted();
      const path = join(folder, file.path);
      if (writable) await this.#place(file, path, variantDigest);
      if (await this.#isRight(path, file, signal)) continue;
      damaged.push(file.path);
      if (writable) await this.content.remove(file.digest);
    }
    if (damaged.length === 0) return folder;
    if (writable) await this.#files.remove('models.assemble', folder);
    throw new ModelStoreError('damaged', `${damaged.join(', ')} of ${variantDigest} changed on disk`);
  }

  /** Variants whose manifest is here, with or without all their files. */
  async variants(): Promise<Digest[]> {
    const names = await this.#files.list('models.list', join(this.#dataDir, 'models', 'manifests'));
    return names.flatMap((name) => (/^[0-9a-f]{64}\.json$/.test(name) ? [`sha256:${name.slice(0, 64)}`] : []));
  }

  /**
   * Deletes every variant but those, every blob and partial file that only others used, and what was compiled from them.
   * Returns the bytes freed, compiled graphs not counted.
   */
  async removeExcept(keep: ReadonlySet<Digest>): Promise<number> {
    const blobs = new Set<Digest>();
    for (const digest of await this.variants()) {
      if (keep.has(digest)) {
        for (const file of (await this.manifest(digest))?.files ?? []) blobs.add(file.digest);
        continue;
      }
      await this.#files.remove('models.collect', this.packageFolder(digest));
      await this.#files.remove('models.collect', this.#manifestPath(digest));
    }
    await removeCompiled(compiledFolder(this.#dataDir), (variant) => !keep.has(variant as Digest), this.#files);
    return (await this.content.removeExcept(blobs)).freedBytes;
  }

  /** Drops every compiled graph, or those of one variant: each is made again when its model is loaded and there is space. Returns how many went. */
  async dropCompiled(of?: Digest): Promise<number> {
    return removeCompiled(compiledFolder(this.#dataDir), (variant) => of === undefined || variant === of, this.#files);
  }

  #manifestPath(variantDigest: Digest): string {
    return variantPaths(this.#dataDir, variantDigest).manifest;
  }

  /** False on a volume that became read-only: then what was put together there before is verified as it lies. */
  async #clear(folder: string): Promise<boolean> {
    try {
      await this.#files.remove('models.assemble', folder);
      return true;
    } catch (cause) {
      if ((cause as { code?: unknown }).code === 'EROFS') return false;
      throw cause;
    }
  }

  async #place({ path: name, digest }: FileEntry, path: string, variantDigest: Digest): Promise<void> {
    await this.#files.makeFolder('models.assemble', dirname(path));
    if (!(await this.content.has(digest))) {
      throw new ModelStoreError('missing', `${name} of ${variantDigest} is not on the device`);
    }
    await this.#files.link('models.assemble', this.content.path(digest), path);
  }

  async #isRight(path: string, file: FileEntry, signal: AbortSignal): Promise<boolean> {
    const hash = createHash('sha256');
    let sizeBytes = 0;
    for await (const chunk of this.#files.stream('models.verify', path)) {
      signal.throwIfAborted();
      hash.update(chunk);
      sizeBytes += chunk.length;
    }
    return sizeBytes === file.sizeBytes && hash.digest('hex') === hexOf(file.digest);
  }
}

/** Throws ModelStoreError `damaged` for what is not that manifest. */
export function parseManifest(variantDigest: Digest, bytes: Uint8Array): VariantManifest {
  if (sha256(bytes) !== variantDigest) {
    throw new ModelStoreError('damaged', `the manifest's bytes are not ${variantDigest}`);
  }
  try {
    return variantManifestSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch (cause) {
    throw new ModelStoreError('damaged', `${variantDigest} is not a variant manifest: ${(cause as Error).message}`, {
      cause,
    });
  }
}

// A PackageSource in memory, with versions made on the spot. It counts what it was asked for, and can be away, lie or wait.
import type { PackageSource } from '@tidegate/edge-agent/sync/package-source.js';
import { SyncError } from '@tidegate/edge-agent/sync/sync-error.js';
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import type { DesiredModel, DesiredState } from '@tidegate/shared/wire/desired-state.js';
import { sha256, type Digest } from '@tidegate/shared/wire/digest.js';
import {
  canonicalManifest,
  manifestDigest,
  type FileEntry,
  type VariantManifest,
} from '@tidegate/shared/wire/manifest.js';

export interface FakeVersion {
  readonly model: DesiredModel;
  readonly manifest: VariantManifest;
}

export class FakePackageSource implements PackageSource {
  /** While true, every call is refused as unreachable. */
  away = false;
  /** Variants that signed metadata does not name. */
  readonly unsigned = new Set<Digest>();
  /** File digests that arrive damaged. */
  readonly damaged = new Set<Digest>();
  /** Digests of files in the order in which they were fetched. */
  readonly fetched: Digest[] = [];
  /** Variants that the collection let go. */
  readonly forgotten: Digest[] = [];
  manifestCalls = 0;
  /** Awaited before each file; a test can hold a download up here. */
  beforeFile: (signal: AbortSignal) => Promise<void> = async () => undefined;
  content: ContentStore | undefined;
  readonly #files = new Map<Digest, Uint8Array>();
  readonly #manifests = new Map<Digest, Uint8Array>();

  /** Makes a version of `name` whose graph file holds `text`; the dictionary is the same in every version. */
  publish(name: string, version: number, text = `${name} ${version}`, more: Partial<DesiredModel> = {}): FakeVersion {
    const entry = (path: string, content: string): FileEntry => {
      const bytes = Buffer.from(content);
      const digest = sha256(bytes);
      this.#files.set(digest, bytes);
      return { path, digest, sizeBytes: bytes.byteLength };
    };
    const files = [entry('assets/dictionary.txt', 'shared by all versions'), entry('model.onnx', text)];
    const parent = sha256(`version ${text}`);
    const manifest: VariantManifest = { kind: 'variant', model: name, parent, variant: 'fp32', files };
    const variantDigest = manifestDigest(manifest);
    this.#manifests.set(variantDigest, Buffer.from(canonicalManifest(manifest)));
    const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
    const versionDigest = parent;
    return {
      manifest,
      model: { name, version, versionDigest, variant: 'fp32', variantDigest, sizeBytes, probationMs: 0, ...more },
    };
  }

  async manifest(variantDigest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted();
    this.manifestCalls += 1;
    if (this.away) throw new SyncError('unreachable', 'the hub is away');
    const bytes = this.#manifests.get(variantDigest);
    if (bytes === undefined || this.unsigned.has(variantDigest)) throw new SyncError('untrusted', 'not signed');
    return bytes;
  }

  async fetchFile(file: FileEntry, onProgress: (receivedBytes: number) => void, signal: AbortSignal): Promise<void> {
    await this.beforeFile(signal);
    signal.throwIfAborted();
    if (this.away) throw new SyncError('unreachable', 'the hub is away');
    if (this.damaged.has(file.digest)) throw new SyncError('damaged', `${file.path}: the bytes received are not right`);
    this.fetched.push(file.digest);
    await this.content?.putBytes(this.#files.get(file.digest) as Uint8Array);
    onProgress(file.sizeBytes);
  }

  async forgetExcept(keep: ReadonlySet<Digest>): Promise<void> {
    for (const digest of this.#manifests.keys()) if (!keep.has(digest)) this.forgotten.push(digest);
  }
}

export function desiredState(version: number, models: readonly DesiredModel[], deviceId = 'device-1'): DesiredState {
  return { deviceId, version, models: [...models], config: { telemetryIntervalMs: 1000 } };
}

// The hub as a source of packages: manifests as signed update targets, files by digest over the device port's ranged blobs.
import { ContentError } from '@tidegate/shared/content/content-error.js';
import { downloadBlob, type DownloadModules } from '@tidegate/shared/content/ranged-download.js';
import type { TufClient } from '@tidegate/shared/tuf/tuf-client.js';
import { TufError } from '@tidegate/shared/tuf/tuf-error.js';
import { devicePaths } from '@tidegate/shared/wire/device-api.js';
import { hexOf, type Digest } from '@tidegate/shared/wire/digest.js';
import { variantTargetPath, type FileEntry } from '@tidegate/shared/wire/manifest.js';
import type { PackageSource } from './package-source.js';
import { SyncError, type SyncErrorCode } from './sync-error.js';

interface HubPackageSourceModules {
  readonly tuf: Pick<TufClient, 'verifiedTarget' | 'forgetExcept'>;
  readonly download: DownloadModules;
}

export class HubPackageSource implements PackageSource {
  readonly #deviceUrl: string;
  readonly #modules: HubPackageSourceModules;

  /** `deviceUrl` is the base URL of the hub's device port. */
  constructor(deviceUrl: string, modules: HubPackageSourceModules) {
    this.#deviceUrl = deviceUrl;
    this.#modules = modules;
  }

  async manifest(variantDigest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    try {
      return (await this.#modules.tuf.verifiedTarget(variantTargetPath(variantDigest), signal)).bytes;
    } catch (cause) {
      if (!(cause instanceof TufError)) throw cause;
      throw new SyncError(codeOfTuf(cause), cause.message, { cause });
    }
  }

  async fetchFile(file: FileEntry, onProgress: (receivedBytes: number) => void, signal: AbortSignal): Promise<void> {
    const url = new URL(devicePaths.blob(hexOf(file.digest)), this.#deviceUrl).href;
    const { digest, sizeBytes } = file;
    try {
      await downloadBlob({ url, digest, sizeBytes, onProgress }, this.#modules.download, signal);
    } catch (cause) {
      if (!(cause instanceof ContentError)) throw cause;
      throw new SyncError(codeOfContent(cause), `${file.path}: ${cause.message}`, { cause });
    }
  }

  /** The model store keeps the manifests that matter; the update client need not keep the others. */
  async forgetExcept(keep: ReadonlySet<Digest>): Promise<void> {
    await this.#modules.tuf.forgetExcept([...keep].map(variantTargetPath));
  }
}

function codeOfTuf({ code }: TufError): SyncErrorCode {
  switch (code) {
    case 'unreachable':
      return 'unreachable';
    case 'expired':
      return 'expired';
    case 'storage':
      return 'not-persisted';
    default:
      return 'untrusted';
  }
}

function codeOfContent({ code }: ContentError): SyncErrorCode {
  switch (code) {
    case 'no-space':
      return 'no-space';
    case 'digest-mismatch':
    case 'size-mismatch':
    case 'refused': // the hub says that it hasn't got what it signed
      return 'damaged';
    default:
      return 'unreachable';
  }
}

// Where packages come from, as the reconciler sees it: manifests that signed metadata authorises, and files by digest. The
// hub is one source; a relay on the LAN or a signed bundle on a stick will be others (design 16).
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { FileEntry } from '@tidegate/shared/wire/manifest.js';

export interface PackageSource {
  /**
   * The manifest's bytes, once signed and unexpired metadata names it. Rejects with SyncError `unreachable` (no source
   * answers), `expired`, or `untrusted` (metadata does not name it, or is wrong).
   */
  manifest(variantDigest: Digest, signal: AbortSignal): Promise<Uint8Array>;
  /**
   * Brings one file into the content store, continuing what an earlier call left. Rejects with SyncError `unreachable`,
   * `no-space` or `damaged`. `onProgress` receives the bytes of this file that are there.
   */
  fetchFile(file: FileEntry, onProgress: (receivedBytes: number) => void, signal: AbortSignal): Promise<void>;
  /** Forgets what it kept about other variants. */
  forgetExcept(keep: ReadonlySet<Digest>): Promise<void>;
}

// Puts a package folder into a test hub as a signed variant, as publishing would: files by digest, the manifest as a signed
// target. `edit` changes files on the way, so that one example gives several versions.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DesiredModel } from '@tidegate/shared/wire/desired-state.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import {
  canonicalManifest,
  manifestDigest,
  variantTargetPath,
  type FileEntry,
  type VariantManifest,
} from '@tidegate/shared/wire/manifest.js';
import type { DeviceHub } from './device-hub.js';

export interface PublishOptions {
  readonly name: string;
  readonly version: number;
  readonly probationMs?: number;
  /** Left out of the package. */
  readonly without?: readonly string[];
  readonly edit?: (path: string, content: Buffer) => Buffer;
}

export async function publishVariant(
  hub: Pick<DeviceHub, 'content' | 'tuf'>,
  folder: string,
  options: PublishOptions,
): Promise<DesiredModel> {
  const files: FileEntry[] = [];
  for (const path of await readdir(folder)) {
    if (options.without?.includes(path) === true) continue;
    const read = await readFile(join(folder, path));
    const content = options.edit?.(path, read) ?? read;
    files.push({ path, sizeBytes: content.byteLength, digest: await hub.content.putBytes(content) });
  }
  const versionDigest = sha256(JSON.stringify(files));
  const { name, version, probationMs = 0 } = options;
  const manifest: VariantManifest = { kind: 'variant', model: name, parent: versionDigest, variant: 'fp32', files };
  const variantDigest = manifestDigest(manifest);
  await hub.tuf.addTarget(variantTargetPath(variantDigest), Buffer.from(canonicalManifest(manifest)));
  const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  return { name, version, versionDigest, variant: 'fp32', variantDigest, sizeBytes, probationMs };
}

// Manifests give versions and variants their identity (decisions.md, "Identity of things"). A manifest is canonical JSON;
// its SHA-256 is the digest. A version's manifest lists the published package; a variant's lists a complete package too
// (the optimised graph in place of the original) and names its parent. A device downloads a variant: the manifest as a
// signed TUF target, then each file by its own digest.
import { z } from 'zod';
import { digestSchema, sha256, type Digest } from './digest.js';

export const LIMIT_PACKAGE_FILES = 1000;

/** A relative path inside a package: no empty, `.` or `..` segment, no backslash, not absolute. */
export const packagePathSchema = z
  .string()
  .min(1)
  .max(255)
  .refine(
    (path) =>
      !path.includes('\\') &&
      !path.includes('\0') &&
      path.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..'),
    'must be a relative path inside the package',
  );

export const fileEntrySchema = z.strictObject({
  path: packagePathSchema,
  sizeBytes: z.int().nonnegative(),
  digest: digestSchema,
});
export type FileEntry = z.infer<typeof fileEntrySchema>;

const versionManifestSchema = z.strictObject({
  kind: z.literal('version'),
  model: z.string(),
  files: z.array(fileEntrySchema).min(1).max(LIMIT_PACKAGE_FILES),
});
export type VersionManifest = z.infer<typeof versionManifestSchema>;

export const variantManifestSchema = z.strictObject({
  kind: z.literal('variant'),
  model: z.string(),
  /** Digest of the version it was made from. */
  parent: digestSchema,
  /** `fp32`, `fp16-weights`, `int8-dynamic`, `int8-weights`, `int4-weights` ... */
  variant: z.string(),
  files: z.array(fileEntrySchema).min(1).max(LIMIT_PACKAGE_FILES),
});
export type VariantManifest = z.infer<typeof variantManifestSchema>;

/** Canonical bytes: keys sorted, files sorted by path (code units), no white space. */
export function canonicalManifest(manifest: VersionManifest | VariantManifest): string {
  const files = [...manifest.files]
    .sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))
    .map(({ digest, path, sizeBytes }) => ({ digest, path, sizeBytes }));
  const { kind, model } = manifest;
  return manifest.kind === 'version'
    ? JSON.stringify({ files, kind, model })
    : JSON.stringify({ files, kind, model, parent: manifest.parent, variant: manifest.variant });
}

export function manifestDigest(manifest: VersionManifest | VariantManifest): Digest {
  return sha256(canonicalManifest(manifest));
}

/** The TUF target path of a variant's manifest, under `/tuf/image/targets/`. */
export function variantTargetPath(variantDigest: Digest): string {
  return `variants/${variantDigest.slice('sha256:'.length)}.json`;
}

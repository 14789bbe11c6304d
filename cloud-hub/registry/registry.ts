// The registry port: models, immutable versions by digest, variants. Implementation: registry-service.ts.
import type { Version } from '@tidegate/shared/wire/admin-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { VariantManifest } from '@tidegate/shared/wire/manifest.js';
import type { DeviceClass } from '@tidegate/shared/wire/device-class.js';
import type { Privacy } from '@tidegate/shared/wire/privacy.js';

export interface StoredVariant {
  readonly model: string;
  readonly version: number;
  readonly versionDigest: Digest;
  /** What may leave a device that runs it. */
  readonly privacy: Privacy;
  readonly variant: string;
  readonly variantDigest: Digest;
  readonly manifest: VariantManifest;
  readonly sizeBytes: number;
}

export interface Registry {
  /** `spec`: number, label or the beginning of a digest. Undefined where there is none; RegistryError where ambiguous. */
  version(model: string, spec: string): Promise<Version | undefined>;
  /** The variant that a device of this class should run; fp32 for a class nobody measured. */
  variantFor(model: string, version: number, deviceClass: DeviceClass | undefined): Promise<StoredVariant>;
  variants(model: string, version: number): Promise<readonly StoredVariant[]>;
  /** Path on disk of a content-addressed file; undefined where it isn't held. */
  blobPath(hex: string): string;
  /** A folder with the variant's files in place (links into the content store), for serving on the hub. */
  materialise(variant: StoredVariant): Promise<string>;
}

// What the registry needs from other rooms, each injected in hub.ts: checking a package, making variants of it, signing them.
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import type { GoldensResult } from '@tidegate/shared/package/run-goldens.js';
import type { VariantReport } from '@tidegate/shared/wire/variant-report.js';

/** The package can't be published; the message says what is wrong with it, `field` where. */
export class PackageRefused extends Error {
  override readonly name = 'PackageRefused';
  readonly field: string | undefined;
  constructor(message: string, options: { cause?: unknown; field?: string } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.field = options.field;
  }
}

export interface PackageChecker {
  /** Structure, load in an executor, goldens on the unoptimised model. Rejects with PackageRefused. */
  check(folder: string, signal: AbortSignal): Promise<void>;
}

/** One variant with its measurement; `folder` is a complete package, absent where it wasn't built or is refused. */
export interface MadeVariant {
  readonly report: Omit<VariantReport, 'variantDigest'>;
  readonly folder?: string;
}

export interface PackageOptimizer {
  /** Makes and measures variants of a checked package; writes only under `workFolder`. fp32 is among the reports. */
  optimize(
    folder: string,
    workFolder: string,
    signal: AbortSignal,
    onProgress: (what: string) => void,
  ): Promise<readonly MadeVariant[]>;
}

export interface NewTarget {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Signed along with the target; JSON. */
  readonly custom: Readonly<Record<string, unknown>>;
}

/** Makes bytes signed targets of the image repository. Adding the same target again changes nothing. */
export interface TargetSigner {
  addTargets(targets: readonly NewTarget[]): Promise<void>;
}

interface LoadedPackage {
  runGoldens(signal: AbortSignal): Promise<GoldensResult>;
  /** Why requests may not be padded as model.yaml says; undefined where they may, or where it doesn't say so. */
  provePadding(signal: AbortSignal): Promise<{ readonly field: string; readonly reason: string } | undefined>;
  close(): Promise<void>;
}

/** A package that is loaded as it is served, but only for whoever asks (publishing). */
export type LoadPackage = (pack: ModelPackage, signal: AbortSignal) => Promise<LoadedPackage>;

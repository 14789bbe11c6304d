// The port between keeping models in step (sync/) and serving them (engine/). A slot is a model name; in it one version is
// active, and one more may be prepared or kept warm for undoing. Switching is atomic for requests: each is answered wholly
// by the old or the new version, and the old one is closed only after its requests have ended.
import type { ThreadsChoice } from '@tidegate/shared/serving/choose-threads.js';
import type { ProviderInUse } from '@tidegate/shared/serving/provider-in-use.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';

export interface ModelSource {
  readonly name: string;
  /** As shown in `/v2/models/NAME/versions/N`. */
  readonly version: string;
  readonly versionDigest: Digest;
  readonly variant: string;
  readonly variantDigest: Digest;
  /** A package folder (with model.yaml) or a bare .onnx file. */
  readonly path: string;
  /** False for local files that were given on the caller's word. */
  readonly verified: boolean;
}

export interface GoldenOutcome {
  readonly passed: boolean;
  readonly score: number;
  readonly threshold: number;
  readonly count: number;
}

export interface PreparedModel {
  readonly source: ModelSource;
  readonly provider: ProviderInUse;
  /** How many threads its runs have, where that was measured. */
  readonly threads?: Pick<ThreadsChoice, 'threads'> | undefined;
  /** Times that its executor died or was replaced for hanging since it was loaded; absent where that isn't known. */
  readonly executorDeaths?: number;
  /**
   * Runs some of the goldens' inputs, whatever comes out, so that what compiles at a first run has compiled before the switch.
   * Nothing to do without goldens. `onProgress` receives 0..1, here and below.
   */
  warmUp(signal: AbortSignal, onProgress?: (share: number) => void): Promise<void>;
  /** Runs the package's goldens on this device; passed with count 0 where it has none. */
  selfTest(signal: AbortSignal, onProgress?: (share: number) => void): Promise<GoldenOutcome>;
  close(): Promise<void>;
}

export interface ModelSlots {
  /**
   * Loads in a spare executor; the active version serves on. Rejects when it can't be loaded, or what its package requires isn't
   * met. `onLoading` receives 0..1 by graphs, and what is being done.
   */
  prepare(
    source: ModelSource,
    signal: AbortSignal,
    onLoading?: (share: number, doing: string) => void,
  ): Promise<PreparedModel>;
  /** Makes it the active version; the one before stays loaded and is returned, for undoing. */
  activate(prepared: PreparedModel): PreparedModel | undefined;
  /** Takes the model out of service; requests for it then go to the hub or are refused. */
  remove(name: string): Promise<void>;
  active(name: string): PreparedModel | undefined;
  names(): readonly string[];
}

// What the router tells about each finished request: telemetry aggregates the figures into evidence, capture looks at the answer.
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import type { ModelYaml } from '@tidegate/shared/wire/model-yaml.js';
import type { Privacy } from '@tidegate/shared/wire/privacy.js';

/** By reference: nothing is copied, so whoever keeps it keeps the request's and the answer's buffers alive. */
export interface OwnAnswer {
  /** Of the version that answered. */
  readonly yaml: ModelYaml;
  readonly inputs: readonly NamedTensor[];
  readonly outputs: readonly NamedTensor[];
  readonly confidence: number | undefined;
}

export interface FinishedRequest {
  readonly model: string;
  readonly versionDigest: string;
  readonly variantDigest: string;
  readonly outcome: 'cache' | 'edge' | 'hub' | 'model-error' | 'refused';
  /** From acceptance to answer. */
  readonly totalMs: number;
  /** Confidence of the device's own answer, also when the hub was then asked. */
  readonly edgeConfidence: number | undefined;
  /** Policy of the version that answered, or should have. */
  readonly privacy?: Privacy;
  /**
   * What the device computed for this very request, also when the hub was then asked for a better answer. Absent for what a cache
   * or an equal request's run gave, and for what only the hub answered.
   */
  readonly own?: OwnAnswer;
}

export interface AnswerObserver {
  finished(request: FinishedRequest): void;
}

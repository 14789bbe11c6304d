// What the router tells about each finished request; telemetry aggregates it into evidence.

export interface FinishedRequest {
  readonly model: string;
  readonly versionDigest: string;
  readonly variantDigest: string;
  readonly outcome: 'cache' | 'edge' | 'hub' | 'model-error' | 'refused';
  /** From acceptance to answer. */
  readonly totalMs: number;
  /** Confidence of the device's own answer, also when the hub was then asked. */
  readonly edgeConfidence: number | undefined;
}

export interface AnswerObserver {
  finished(request: FinishedRequest): void;
}

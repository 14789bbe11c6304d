// How many samples of a model a device keeps in a minute: a token bucket for each, pure. It holds one minute's worth, so that a
// burst after a quiet time is kept and a stream of hard inputs is thinned.

export interface Bucket {
  readonly tokens: number;
  /** Monotonic. */
  readonly atMs: number;
}

/** Takes up to `wanted` whole tokens. Undefined bucket: the model's first, and full. */
export function takeTokens(
  bucket: Bucket | undefined,
  perMinute: number,
  wanted: number,
  nowMs: number,
): { readonly granted: number; readonly bucket: Bucket } {
  const elapsedMs = bucket === undefined ? 60_000 : Math.max(0, nowMs - bucket.atMs);
  const tokens = Math.min(perMinute, (bucket?.tokens ?? 0) + (elapsedMs * perMinute) / 60_000);
  const granted = Math.min(wanted, Math.floor(tokens));
  return { granted, bucket: { tokens: tokens - granted, atMs: nowMs } };
}

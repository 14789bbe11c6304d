// Evidence from devices: per window, model and running variant. A record is idempotent by (deviceId, seq); it goes through
// the agent's durable outbox and is deleted there only when the hub acknowledged it. Latency is a fixed-bound histogram so that
// windows of many devices merge exactly.
import { z } from 'zod';
import { digestSchema } from './digest.js';

/** Upper bounds in milliseconds of the latency buckets; a last bucket takes the rest. Growth 1.25: quantiles within 25%. */
export const LATENCY_BOUNDS_MS: readonly number[] = Array.from({ length: 56 }, (_, i) => 0.25 * 1.25 ** i);

export const evidenceSchema = z.strictObject({
  model: z.string(),
  versionDigest: digestSchema,
  variantDigest: digestSchema,
  /** Answered requests, also from the cache. */
  requests: z.int().nonnegative(),
  /** Requests that the model failed (executor failed, run failed); not the caller's own 4xx. */
  errors: z.int().nonnegative(),
  cacheHits: z.int().nonnegative(),
  hubAnswers: z.int().nonnegative(),
  /** Counts per bucket of LATENCY_BOUNDS_MS (+1), of answers computed on the device. */
  latencyBuckets: z.array(z.int().nonnegative()).length(LATENCY_BOUNDS_MS.length + 1),
  /** Of answers computed on the device, where the model has a confidence. */
  confidenceCount: z.int().nonnegative(),
  confidenceSum: z.number().nonnegative(),
  confidenceSumOfSquares: z.number().nonnegative(),
});
export type Evidence = z.infer<typeof evidenceSchema>;

export const telemetryRecordSchema = z.strictObject({
  deviceId: z.string(),
  seq: z.int().min(0),
  /** Device's clock; for people only. The hub orders by its own arrival time. */
  fromMs: z.number(),
  toMs: z.number(),
  evidence: z.array(evidenceSchema).max(512),
  events: z
    .array(z.strictObject({ atMs: z.number(), kind: z.string().max(64), detail: z.string().max(500) }))
    .max(100)
    .default([]),
});
export type TelemetryRecord = z.infer<typeof telemetryRecordSchema>;

// What a device does run (the *running* digest, not the last one installed), as a full document. `seq` grows with every
// report of an agent's state folder, `bootId` changes with every start: the hub keeps the newest by seq, and ignores a last
// will whose connectionId is not the current one.
import { z } from 'zod';
import { deviceClassSchema } from './device-class.js';
import { digestSchema } from './digest.js';

export const ACTIVATION_STEPS = [
  'download',
  'verify',
  'load',
  'warm-up',
  'self-test',
  'switch',
  'probation',
  'commit',
] as const;

/** Of what an engine says a provider failed with, so much is reported. */
export const PROVIDER_REASON_MAX = 500;
/** And of what a step is at. */
export const DOING_MAX = 200;

export const reportedModelSchema = z.strictObject({
  name: z.string(),
  /** What answers now; absent while the first activation has not switched yet. */
  running: z
    .strictObject({
      version: z.int(),
      versionDigest: digestSchema,
      variant: z.string(),
      variantDigest: digestSchema,
      provider: z.string(),
      /** Share of the graphs' nodes that the CPU runs; absent where the agent can't tell. */
      cpuNodesRatio: z.number().min(0).max(1).optional(),
      /** Why it is not the provider that was asked for; absent where it is. */
      providerReason: z.string().max(PROVIDER_REASON_MAX).optional(),
      /** Of one run, where the device has measured how many suit it. */
      threads: z.int().min(1).optional(),
      since: z.int(),
      committed: z.boolean(),
    })
    .optional(),
  /** The activation under way or the last one that failed; absent when desired = running and committed. */
  activation: z
    .strictObject({
      versionDigest: digestSchema,
      variantDigest: digestSchema,
      rolloutId: z.string().optional(),
      step: z.enum(ACTIVATION_STEPS),
      state: z.enum(['running', 'failed', 'rolled-back', 'needs-attention']),
      /** 0..1 within the step, where known. */
      progress: z.number().min(0).max(1).optional(),
      /** What a running step is at: `compiling det.onnx, 1 of 3 graphs`. */
      doing: z.string().max(DOING_MAX).optional(),
      attempt: z.int().min(1),
      error: z.string().max(2000).optional(),
    })
    .optional(),
});
export type ReportedModel = z.infer<typeof reportedModelSchema>;

export const reportedStateSchema = z.strictObject({
  deviceId: z.string(),
  seq: z.int().min(0),
  bootId: z.string(),
  /** The newest desired version acted on. */
  desiredVersion: z.int().min(0),
  agentVersion: z.string(),
  deviceClass: deviceClassSchema,
  models: z.array(reportedModelSchema).max(256),
});
export type ReportedState = z.infer<typeof reportedStateSchema>;

// What measuring a variant found (design 4, targets P7). One row of the variants' table.
import { z } from 'zod';
import { digestSchema } from './digest.js';

export const variantReportSchema = z.strictObject({
  variant: z.string(),
  variantDigest: digestSchema.optional(), // absent where it could not be built
  sizeBytes: z.int().nonnegative().optional(),
  loadMs: z.number().nonnegative().optional(),
  latencyP50Ms: z.number().nonnegative().optional(),
  latencyP99Ms: z.number().nonnegative().optional(),
  /** Mean golden score, and the same of fp32. */
  score: z.number().optional(),
  /** Per golden group. */
  groupScores: z.record(z.string(), z.number()).optional(),
  deviceClass: z.string(),
  outcome: z.enum(['chosen', 'kept', 'refused', 'not-applicable']),
  /** `fastest within tolerance`, `slower than fp32 (1.3x)`, `accuracy 0.71 under 0.94 - 0.01`, `no MatMul to quantize`. */
  reason: z.string(),
});
export type VariantReport = z.infer<typeof variantReportSchema>;

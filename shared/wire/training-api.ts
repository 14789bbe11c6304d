// The admin API's bodies for training (`/api/v1/jobs`) and lineage (`/api/v1/models/{model}/versions/{version}/lineage`).
import { z } from 'zod';
import { digestSchema } from './digest.js';
import { packagePathSchema } from './manifest.js';
import { modelNameSchema } from './model-yaml.js';

/** `NAME@VERSION` of a dataset; without a version the newest. */
export const datasetSpecSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}(@[0-9]+)?$/, 'must be NAME or NAME@VERSION of a dataset');

const pattern = z.string().min(1).max(200);

/** How a graph is trained; every field has a default that is right for fine-tuning a small model. */
export const trainingParametersSchema = z.strictObject({
  epochs: z.int().min(1).max(10_000).default(3),
  /** Ends earlier than the epochs where stated. */
  maxSteps: z.int().min(1).max(100_000_000).optional(),
  batchSize: z.int().min(1).max(4096).default(32),
  /** Batches whose gradients are added up before one update. */
  accumulate: z.int().min(1).max(1024).default(1),
  optimizer: z.enum(['adamw', 'sgd']).default('adamw'),
  learningRate: z.number().positive().max(10).default(0.001),
  momentum: z.number().min(0).lt(1).default(0.9),
  weightDecay: z.number().min(0).max(1).default(0.01),
  schedule: z.enum(['constant', 'linear', 'cosine']).default('cosine'),
  warmupSteps: z.int().min(0).max(1_000_000).default(0),
  /** Largest global norm of the gradients; 0 = not clipped. */
  clipNorm: z.number().min(0).default(1),
  loss: z.enum(['cross-entropy', 'mse']).default('cross-entropy'),
  /** Parameters whose names match stay as they are: `*` any characters, `?` one (`conv*`). */
  freeze: z.array(pattern).max(100).default([]),
  /** Multiplies the rate of parameters whose names match; the first pattern that matches counts. */
  rates: z
    .array(z.strictObject({ pattern, factor: z.number().min(0).max(1000) }))
    .max(100)
    .default([]),
  /** Begin from random weights instead of the parent's. */
  fromScratch: z.boolean().default(false),
  seed: z.int().min(0).max(0xffff_ffff).default(7),
});
export type TrainingParameters = z.infer<typeof trainingParametersSchema>;

export const createJobSchema = z.strictObject({
  model: modelNameSchema,
  /** Version to start from: number, label or the beginning of a digest. */
  parent: z.string().min(1).max(80),
  datasets: z.array(datasetSpecSchema).min(1).max(16),
  /** Named slices on which the result must not be worse than its parent; their held-out sides count. */
  slices: z.array(datasetSpecSchema).max(16).default([]),
  /** Which graph of the pipeline; needed only where there are several. */
  graph: packagePathSchema.optional(),
  /** Label of the version that it makes. */
  label: z.string().min(1).max(64).optional(),
  parameters: trainingParametersSchema.prefault({}),
  /** Larger goes first, and takes the place of a smaller one that runs. */
  priority: z.int().min(-100).max(100).default(0),
  /** Absent: half of the hub's cores. */
  threads: z.int().min(1).max(256).optional(),
  /** Resident memory at which the job is ended; absent: the hub's `--training-memory`. */
  memoryLimitBytes: z
    .int()
    .min(64 * 1024 * 1024)
    .optional(),
  /** Largest fall of the metric against the parent, on the held-out set or a slice, with which it may still roll out. */
  maxDrop: z.number().min(0).max(1).default(0.01),
});
export type CreateJob = z.infer<typeof createJobSchema>;

export const JOB_STATES = ['queued', 'running', 'preempted', 'publishing', 'succeeded', 'failed', 'cancelled'] as const;
export type JobState = (typeof JOB_STATES)[number];

/** One set on which parent and result were measured. Accuracy for cross-entropy; mean squared error for mse (smaller is better). */
export const setEvaluationSchema = z.object({
  /** `hard@1`. */
  dataset: z.string(),
  role: z.enum(['held-out', 'slice']),
  metric: z.enum(['accuracy', 'mean-squared-error']),
  count: z.int(),
  parent: z.number(),
  result: z.number(),
});
export const evaluationSchema = z.object({
  sets: z.array(setEvaluationSchema),
  /** May it roll out, and why not. */
  passed: z.boolean(),
  reason: z.string(),
});
export type Evaluation = z.infer<typeof evaluationSchema>;

export const jobProgressSchema = z.object({
  step: z.int(),
  steps: z.int(),
  epoch: z.number(),
  loss: z.number().optional(),
  /** Share of right answers in the last batches. */
  metric: z.number().optional(),
  learningRate: z.number().optional(),
  samplesPerSecond: z.number().optional(),
  /** Share of the time that the trainer waited for data. */
  waitShare: z.number().optional(),
  secondsLeft: z.number().optional(),
  /** Where it went on after its process had ended; 0 = from the beginning. */
  resumedFromStep: z.int().optional(),
  rssBytes: z.int().optional(),
});
export type JobProgress = z.infer<typeof jobProgressSchema>;

export const jobSchema = z.object({
  id: z.string(),
  model: modelNameSchema,
  parent: z.int(),
  parentDigest: digestSchema,
  datasets: z.array(z.object({ spec: z.string(), digest: digestSchema })),
  slices: z.array(z.object({ spec: z.string(), digest: digestSchema })),
  /** Path of the trained graph, where the request names one. */
  graph: packagePathSchema.optional(),
  label: z.string().optional(),
  parameters: trainingParametersSchema,
  priority: z.int(),
  threads: z.int(),
  memoryLimitBytes: z.int().optional(),
  maxDrop: z.number().optional(),
  state: z.enum(JOB_STATES),
  /** Why it failed, or what it does now. */
  detail: z.string().optional(),
  progress: jobProgressSchema.optional(),
  evaluation: evaluationSchema.optional(),
  /** Number of the version that it made. */
  version: z.int().optional(),
  createdBy: z.string(),
  createdAt: z.string(),
  startedAt: z.string().optional(),
  endedAt: z.string().optional(),
});
export type Job = z.infer<typeof jobSchema>;

/** GET /api/v1/jobs/{id}/points: what the charts draw, oldest first, thinned to at most `limit`. */
export const jobPointSchema = z.object({
  step: z.int(),
  loss: z.number(),
  metric: z.number().optional(),
  learningRate: z.number(),
});
export type JobPoint = z.infer<typeof jobPointSchema>;

/** Lineage: what a version was made from, back to the samples. Nodes are shown in order; edges point from source to product. */
export const lineageSchema = z.object({
  nodes: z.array(
    z.object({
      /** `version:digits@2`, `job:j1`, `dataset:hard@1`, `samples:hard@1/device-1`. */
      id: z.string(),
      kind: z.enum(['version', 'job', 'dataset', 'samples']),
      title: z.string(),
      facts: z.record(z.string(), z.union([z.string(), z.number()])),
    }),
  ),
  edges: z.array(z.object({ from: z.string(), to: z.string() })),
});
export type Lineage = z.infer<typeof lineageSchema>;

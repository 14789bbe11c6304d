// What the hub and a training job's process say to each other. The hub writes `order.json` into the job's folder and starts the process
// with that folder; the process tells by IPC how far it is, and leaves what it made in the folder. Everything that a restart needs is in
// the folder, so the process can be killed at any moment and started again with the same folder.
//   order.json  checkpoints/step-N.safetensors  result.json and result.onnx (written last, the graph first)
import { z } from 'zod';
import { digestSchema } from '@tidegate/shared/wire/digest.js';
import { packagePathSchema } from '@tidegate/shared/wire/manifest.js';
import {
  datasetSpecSchema,
  jobPointSchema,
  jobProgressSchema,
  setEvaluationSchema,
  trainingParametersSchema,
} from '@tidegate/shared/wire/training-api.js';

export const ORDER_FILE = 'order.json';
export const RESULT_FILE = 'result.json';
export const RESULT_GRAPH_FILE = 'result.onnx';
export const CHECKPOINTS_FOLDER = 'checkpoints';

/** Exit codes: done (result.json is there), failed (the last message says why), preempted (a checkpoint holds all that was done). */
export const EXIT = { done: 0, failed: 1, preempted: 75 } as const;

const datasetOrderSchema = z.strictObject({ spec: datasetSpecSchema, digest: digestSchema });

export const jobOrderSchema = z.strictObject({
  job: z.string(),
  /** Folder of the parent's fp32 package, and the root of the content store, whose blobs the datasets are. */
  packageFolder: z.string(),
  contentFolder: z.string(),
  /** Path of the graph in the package; needed only where there are several. */
  graph: packagePathSchema.optional(),
  datasets: z.array(datasetOrderSchema).min(1),
  slices: z.array(datasetOrderSchema),
  parameters: trainingParametersSchema,
  threads: z.int().min(1),
  memoryLimitBytes: z.int().optional(),
  checkpointEveryMs: z.int().min(0),
});
export type JobOrder = z.infer<typeof jobOrderSchema>;

/** result.json */
export const jobResultSchema = z.strictObject({
  /** Path in the package that result.onnx replaces. */
  graph: packagePathSchema,
  /** Of what made it (job-digest.ts): a process that finds the result of its own job has nothing left to do. */
  jobDigest: digestSchema.optional(),
  /** Updates in all, whichever start of the process made them. */
  steps: z.int(),
  sets: z.array(setEvaluationSchema),
});
export type JobResult = z.infer<typeof jobResultSchema>;

/** From the process to the hub, by IPC. */
export const jobMessageSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('progress'),
    phase: z.enum(['preparing', 'training', 'evaluating']),
    progress: jobProgressSchema,
  }),
  /** At most some thousand of a job: the process thins them. */
  z.strictObject({ kind: z.literal('point'), point: jobPointSchema }),
  /** Its last word before exit code 1. `field`: what of the request is at fault, where something is. */
  z.strictObject({ kind: z.literal('failed'), message: z.string(), field: z.string().optional() }),
]);
export type JobMessage = z.infer<typeof jobMessageSchema>;

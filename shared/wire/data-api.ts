// The admin API's bodies for samples and datasets (`/api/v1/samples`, `/api/v1/datasets`), and the manifest that gives a dataset
// version its identity. A dataset version is immutable: its digest is the SHA-256 of the canonical manifest.
import { z } from 'zod';
import { DATATYPES } from '../tensor/datatype.js';
import { digestSchema, hexOf, type Digest } from './digest.js';
import { modelNameSchema } from './model-yaml.js';
import { SAMPLE_REASONS } from './sample.js';

// --- samples ------------------------------------------------------------------------------------------------------------
export const SAMPLE_STATES = ['new', 'labelled', 'rejected'] as const;
/** What a label may be, wherever it comes from. */
export const labelSchema = z.string().min(1).max(1000);

export const sampleSchema = z.object({
  /** Digest of the sample's body. */
  id: digestSchema,
  model: modelNameSchema,
  /** Number of the version that answered; absent for an imported sample. */
  version: z.int().optional(),
  versionDigest: digestSchema.optional(),
  variantDigest: digestSchema.optional(),
  /** Id and name of the device that captured it. */
  device: z.string().optional(),
  deviceName: z.string().optional(),
  /** Of an import: its name. */
  batch: z.string().optional(),
  capturedAt: z.string(),
  receivedAt: z.string(),
  confidence: z.number().optional(),
  reason: z.enum(SAMPLE_REASONS),
  inputsDigest: digestSchema,
  inputs: z.array(z.object({ name: z.string(), datatype: z.string(), shape: z.array(z.int()) })),
  sizeBytes: z.int(),
  /** The device's answer, where the package names one (`goldens.output`, else the first BYTES output). */
  answer: z.string().optional(),
  state: z.enum(SAMPLE_STATES),
  label: z.string().optional(),
  /** Who gave the label: `person` through the console or API, the hub's model as accepted by a person, an import. */
  labelSource: z.enum(['person', 'hub-model', 'import']).optional(),
  /** What the hub's model answers for it, once asked. */
  proposal: z.object({ label: z.string(), confidence: z.number().optional(), version: z.int() }).optional(),
});
export type SampleView = z.infer<typeof sampleSchema>;

/** PUT /api/v1/samples/{hex}/label. */
export const labelSampleSchema = z.strictObject({ label: labelSchema });

/** GET /api/v1/samples/summary?where=...: how many of what the query picks stand where. Of labels and answers, the most frequent. */
const sampleCountsSchema = z.record(z.string(), z.int());
export const sampleSummarySchema = z.object({
  count: z.int(),
  /** There may be more: only so many of the newest are counted. */
  more: z.boolean(),
  states: sampleCountsSchema,
  reasons: sampleCountsSchema,
  models: sampleCountsSchema,
  labels: sampleCountsSchema,
  answers: sampleCountsSchema,
});
export type SampleSummary = z.infer<typeof sampleSummarySchema>;

/** POST /api/v1/samples/propose?where=...&limit=...: the hub's model is asked for the newest samples without a proposal of its version. */
export const proposedSchema = z.object({
  proposed: z.int(),
  failed: z.int(),
  /** Why, of the first ones. */
  failures: z.array(z.object({ id: digestSchema, reason: z.string() })),
  /** Were some left because of the limit or the time? Then call again. */
  more: z.boolean(),
});
export type Proposed = z.infer<typeof proposedSchema>;

// --- datasets -----------------------------------------------------------------------------------------------------------
export const datasetNameSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'must be 1 to 63 of a-z 0-9 . _ - and begin with a letter or digit');
export const SPLITS = ['train', 'held-out'] as const;
export type Split = (typeof SPLITS)[number];

/** Share of samples that no training sees. */
const heldOutSchema = z.number().min(0).max(1).default(0.2);

export const createDatasetSchema = z.strictObject({
  name: datasetNameSchema,
  model: modelNameSchema.optional(),
  /** Which samples, e.g. `model=digits and confidence<0.8`; only labelled ones are taken. */
  from: z.string().min(1).max(2000),
  heldOut: heldOutSchema,
});

const labelCountsSchema = z.record(z.string(), z.int());
export const datasetVersionSchema = z.object({
  name: datasetNameSchema,
  version: z.int(),
  digest: digestSchema,
  model: modelNameSchema,
  from: z.string(),
  heldOut: z.number(),
  count: z.int(),
  counts: z.object({ train: z.int(), 'held-out': z.int() }),
  labels: labelCountsSchema,
  /** Matched by the query, but without a label. */
  unlabelled: z.int(),
  /** Left out, since a later sample of equal inputs has another label; absent where there are none. */
  contradicted: z.int().optional(),
  sizeBytes: z.int(),
  createdAt: z.string(),
});
export type DatasetVersion = z.infer<typeof datasetVersionSchema>;

// --- imports: ask what the model takes and which bodies the hub lacks, send those, then freeze exactly these samples ------
export const LIMIT_IMPORT_QUESTION = 10_000;
export const LIMIT_DATASET_ITEMS = 200_000;

/** GET /api/v1/datasets/{name}/import?model=...: the inputs of the model's newest ready version. */
export const importTargetSchema = z.object({
  model: modelNameSchema,
  version: z.int(),
  inputs: z.array(z.object({ name: z.string(), datatype: z.enum(DATATYPES), shape: z.array(z.int()) })),
});
export type ImportTarget = z.infer<typeof importTargetSchema>;

/** POST /api/v1/datasets/{name}/import/missing. */
export const importQuestionSchema = z.strictObject({
  model: modelNameSchema,
  /** Looked at before anything is sent. */
  labels: z.array(labelSchema).max(LIMIT_IMPORT_QUESTION),
  ids: z.array(digestSchema).max(LIMIT_IMPORT_QUESTION),
});
export const importMissingSchema = z.object({ missing: z.array(digestSchema) });
/** POST /api/v1/datasets/{name}/import/samples, with frames (sample-frames.ts): how many were new. */
export const importTakenSchema = z.object({ taken: z.int(), added: z.int() });
/** POST /api/v1/datasets/{name}/import. */
export const importDatasetSchema = z.strictObject({
  model: modelNameSchema,
  heldOut: heldOutSchema,
  items: z
    .array(
      z.strictObject({
        id: digestSchema,
        label: labelSchema,
        /** Instead of the side that the inputs' digest gives it. */
        split: z.enum(SPLITS).optional(),
      }),
    )
    .min(1)
    .max(LIMIT_DATASET_ITEMS),
});

/** POST /api/v1/datasets/{name}/versions/{version}/read: what the reader did with all of its samples, once. */
export const datasetReadSchema = z.object({
  dataset: z.string(),
  /** `digits@2`: whose steps prepared the samples. */
  package: z.string(),
  samples: z.int(),
  /** Of prepared tensors. */
  bytes: z.int(),
  elapsedMs: z.number(),
  samplesPerSecond: z.number(),
  megabytesPerSecond: z.number(),
  /** Of the time, with nothing done between two batches: what a trainer without work of its own would wait. */
  waitShare: z.number(),
});
export type DatasetRead = z.infer<typeof datasetReadSchema>;

export const datasetDiffSchema = z.object({
  from: z.string(),
  to: z.string(),
  added: z.array(digestSchema),
  removed: z.array(digestSchema),
  relabelled: z.array(z.object({ id: digestSchema, before: z.string(), after: z.string() })),
});
export type DatasetDiff = z.infer<typeof datasetDiffSchema>;

/** Where an item's body lies in a shard: a shard is `TGSH` and then sample bodies, one after the other. */
export const datasetItemSchema = z.strictObject({
  id: digestSchema,
  inputsDigest: digestSchema,
  label: labelSchema,
  split: z.enum(SPLITS),
  shard: z.int().min(0),
  offsetBytes: z.int().min(0),
  sizeBytes: z.int().min(1),
});
export type DatasetItem = z.infer<typeof datasetItemSchema>;

export const datasetManifestSchema = z.strictObject({
  kind: z.literal('dataset'),
  model: modelNameSchema,
  heldOut: z.number(),
  shards: z.array(z.strictObject({ digest: digestSchema, sizeBytes: z.int().min(1) })),
  /** Sorted by id. */
  items: z.array(datasetItemSchema).max(LIMIT_DATASET_ITEMS),
});
export type DatasetManifest = z.infer<typeof datasetManifestSchema>;

/**
 * On which side a sample stands: by its inputs' digest alone, so it never changes sides, in whatever dataset it is; a larger share
 * only adds to the held-out side.
 */
export function splitOf(inputsDigest: Digest, heldOut: number): Split {
  const place = Number.parseInt(hexOf(inputsDigest).slice(0, 8), 16) / 2 ** 32;
  return place < heldOut ? 'held-out' : 'train';
}

// What MLflow's clients send: its protobuf messages as JSON, or as a query string where the call is a GET. Numbers may come as text there
// (64 bits, NaN, Infinity), lists of one as the thing itself. Unknown fields are ignored, as MLflow's server does.
import { z } from 'zod';
import * as limits from './mlflow-limits.js';

/** Safe integers only: no clock or step counter gets past 2^53. */
const int64 = z
  .union([
    z.number(),
    z
      .string()
      .regex(/^-?\d{1,19}$/, 'must be an integer')
      .transform(Number),
  ])
  .pipe(z.int());
const millis = int64.pipe(z.int().min(0, 'must not be negative'));
const double = z.union([
  z.number(),
  z.enum(['NaN', 'Infinity', '-Infinity']).transform(Number),
  z
    .string()
    .regex(/^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/, 'must be a number')
    .transform(Number),
]);
/** Fields left out of a proto are their default. */
const text = z.string().default('');
const listOf = <T extends z.ZodType>(item: T) => z.union([z.array(item), item.transform((one) => [one])]).default([]);

/** Names of params, metrics and tags: MLflow's characters, and no path that would be another when normalised. */
const key = z
  .string()
  .min(1, 'must not be empty')
  .max(limits.LIMIT_KEY_CHARS, `must have at most ${limits.LIMIT_KEY_CHARS} characters`)
  .regex(/^[/\p{L}\p{M}\p{N}_.\- :]+$/u, 'may hold only letters, digits, _ - . : / and spaces')
  .refine((name) => name.split('/').every((part) => !['', '.', '..'].includes(part)), 'is no normal path');
const most = (chars: number) => text.pipe(z.string().max(chars, `must have at most ${chars} characters`));

const id = z.string().min(1).max(256);
const runId = z.object({ run_id: id });
const experimentId = z.object({ experiment_id: id });
const param = z.object({ key, value: most(limits.LIMIT_PARAM_CHARS) });
const tag = z.object({ key, value: most(limits.LIMIT_TAG_CHARS) });
const experimentTag = z.object({ key, value: most(limits.LIMIT_EXPERIMENT_TAG_CHARS) });
const metric = z.object({ key, value: double, timestamp: millis, step: int64.default(0) });
const batchOf = <T extends z.ZodType>(item: T, most_: number, what: string) =>
  z.array(item).max(most_, `a batch may hold at most ${most_} ${what}; send the rest in another`).default([]);

export type Metric = z.infer<typeof metric>;
export type Text = z.infer<typeof param>;

const STATUSES = ['RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED'] as const;
const VIEWS = ['ACTIVE_ONLY', 'DELETED_ONLY', 'ALL'] as const;
export type View = (typeof VIEWS)[number];
/** A protobuf enum: its name, or its number (from 1). */
const enumOf = <const T extends readonly [string, ...string[]]>(names: T) =>
  z.union([
    z.enum(names),
    int64.pipe(z.int().min(1).max(names.length)).transform((number) => names[number - 1] as T[number]),
  ]);
const view = enumOf(VIEWS).default('ACTIVE_ONLY');
const maxResults = (most_: number, standard: number) => int64.pipe(z.int().min(1).max(most_)).default(standard);
const pageToken = z.string().max(200).optional();
const filter = z.string().max(limits.LIMIT_FILTER_CHARS).default('');
const orderBy = listOf(z.string().max(1000));

const experimentName = z
  .string()
  .min(1, 'must not be empty')
  .max(limits.LIMIT_EXPERIMENT_NAME_CHARS, `must have at most ${limits.LIMIT_EXPERIMENT_NAME_CHARS} characters`);

export const createExperiment = z.object({
  name: experimentName,
  artifact_location: z.string().optional(),
  tags: batchOf(experimentTag, limits.LIMIT_BATCH_TEXTS, 'tags'),
});
export const getExperiment = experimentId;
export const getExperimentByName = z.object({ experiment_name: z.string().min(1) });
export const updateExperiment = experimentId.extend({ new_name: experimentName.optional() });
export const setExperimentTag = experimentId.extend(experimentTag.shape);
export const deleteExperimentTag = experimentId.extend({ key });
export const searchExperiments = z.object({
  view_type: view,
  max_results: maxResults(50_000, 1000),
  page_token: pageToken,
  filter,
  order_by: orderBy,
});

export const createRun = z.object({
  experiment_id: id.default('0'),
  user_id: most(limits.LIMIT_KEY_CHARS),
  run_name: most(limits.LIMIT_KEY_CHARS),
  start_time: millis.optional(),
  tags: batchOf(tag, limits.LIMIT_BATCH_TEXTS, 'tags'),
});
export const oneRun = runId;
export const updateRun = runId.extend({
  status: enumOf(STATUSES).optional(),
  end_time: millis.optional(),
  run_name: most(limits.LIMIT_KEY_CHARS),
});
export const searchRuns = z.object({
  experiment_ids: listOf(id).pipe(z.array(id).max(limits.LIMIT_SEARCH_EXPERIMENTS)),
  filter,
  run_view_type: view,
  max_results: maxResults(50_000, 1000),
  order_by: orderBy,
  page_token: pageToken,
});

export const logMetric = runId.extend(metric.shape);
export const logParam = runId.extend(param.shape);
export const setTag = runId.extend(tag.shape);
export const deleteTag = runId.extend({ key: z.string().min(1) });
export const logBatch = runId
  .extend({
    metrics: batchOf(metric, limits.LIMIT_BATCH_METRICS, 'metrics'),
    params: batchOf(param, limits.LIMIT_BATCH_TEXTS, 'params'),
    tags: batchOf(tag, limits.LIMIT_BATCH_TEXTS, 'tags'),
  })
  .refine(
    ({ metrics, params, tags }) => metrics.length + params.length + tags.length <= limits.LIMIT_BATCH_ENTITIES,
    `a batch may hold at most ${limits.LIMIT_BATCH_ENTITIES} metrics, params and tags together`,
  );
export const getHistory = runId.extend({
  metric_key: z.string().min(1),
  max_results: maxResults(limits.LIMIT_PAGE_POINTS, limits.LIMIT_PAGE_POINTS),
  page_token: pageToken,
});

const inputTag = z.object({ key: z.string().min(1).max(255), value: z.string().max(500).default('') });
const datasetInput = z.object({
  dataset: z.object({
    name: z.string().min(1).max(limits.LIMIT_DATASET_NAME_CHARS),
    digest: z.string().min(1).max(limits.LIMIT_DATASET_DIGEST_CHARS),
    source_type: z.string().max(limits.LIMIT_KEY_CHARS).default(''),
    source: z.string().max(limits.LIMIT_DATASET_SOURCE_CHARS).default(''),
    schema: z.string().max(limits.LIMIT_DATASET_SCHEMA_CHARS).optional(),
    profile: z.string().max(limits.LIMIT_DATASET_PROFILE_CHARS).optional(),
  }),
  tags: z.array(inputTag).max(limits.LIMIT_BATCH_TEXTS).default([]),
});
export type DatasetInput = z.infer<typeof datasetInput>;
export const logInputs = runId.extend({
  datasets: batchOf(datasetInput, limits.LIMIT_BATCH_TEXTS, 'datasets'),
  models: z.array(z.unknown()).max(0, 'this hub keeps no logged models').default([]),
});
export const listArtifacts = runId.extend({ path: text });

const modelName = z.string().min(1).max(limits.LIMIT_EXPERIMENT_NAME_CHARS);
export const oneModel = z.object({ name: modelName });
export const latestVersions = oneModel.extend({ stages: listOf(z.string()) });
export const oneVersion = oneModel.extend({ version: z.union([z.string(), z.number().transform(String)]) });
export const byAlias = oneModel.extend({ alias: z.string().min(1) });
export const searchRegistry = z.object({
  filter,
  max_results: maxResults(200_000, 100),
  order_by: orderBy,
  page_token: pageToken,
});

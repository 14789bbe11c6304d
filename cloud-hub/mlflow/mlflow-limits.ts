// What a client may log. The first group is MLflow's own, so that what fits there fits here; the second keeps the hub's database bounded.

/** In one log-batch: points, params, tags, and all of them together. */
export const LIMIT_BATCH_METRICS = 1000;
export const LIMIT_BATCH_TEXTS = 100;
export const LIMIT_BATCH_ENTITIES = 1000;
export const LIMIT_KEY_CHARS = 250;
export const LIMIT_PARAM_CHARS = 6000;
export const LIMIT_TAG_CHARS = 8000;
export const LIMIT_EXPERIMENT_NAME_CHARS = 500;
export const LIMIT_EXPERIMENT_TAG_CHARS = 20_000;
export const LIMIT_DATASET_NAME_CHARS = 500;
export const LIMIT_DATASET_DIGEST_CHARS = 36;
export const LIMIT_DATASET_SOURCE_CHARS = 65_535;
export const LIMIT_DATASET_SCHEMA_CHARS = 1_048_575;

/** Of a dataset's profile, and of all texts that one run has (params, tags, datasets, names of metrics). */
export const LIMIT_DATASET_PROFILE_CHARS = 1_048_575;
export const LIMIT_RUN_TEXT_BYTES = 8 * 1024 ** 2;
export const LIMIT_RUN_POINTS = 1_000_000;

export interface HubLimits {
  readonly experiments: number;
  readonly experimentTags: number;
  /** Active and deleted ones together. */
  readonly runs: number;
  readonly points: number;
  readonly textBytes: number;
}

/** Runs: as many as one search may look at without holding up the hub for long; ordered by a metric, 100,000 took 0.5 s of the processor. */
export const HUB_LIMITS: HubLimits = {
  experiments: 1000,
  experimentTags: 100,
  runs: 50_000,
  points: 20_000_000,
  textBytes: 1024 ** 3,
};

/** Answers: runs and bytes in a page of a search, points in an answer of a metric's history. */
export const LIMIT_PAGE_RUNS = 1000;
export const LIMIT_PAGE_BYTES = 16 * 1024 ** 2;
export const LIMIT_PAGE_POINTS = 100_000;

/** Of a search: characters of a filter and of a pattern in it, its clauses, keys to order by, experiments to look in. */
export const LIMIT_FILTER_CHARS = 10_000;
export const LIMIT_PATTERN_CHARS = 500;
export const LIMIT_FILTER_CLAUSES = 32;
export const LIMIT_ORDER_KEYS = 16;
export const LIMIT_SEARCH_EXPERIMENTS = 2000;

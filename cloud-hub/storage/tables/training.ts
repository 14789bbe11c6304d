// Tables of the training domain: jobs, the points that their charts draw, and what each trained version was made from.
import type { Kysely, Migration } from 'kysely';
import type { JobState } from '@tidegate/shared/wire/training-api.js';

export interface JobTable {
  readonly id: string;
  readonly model: string;
  readonly parent: number;
  readonly parent_digest: string;
  /** JSON: CreateJob, its dataset specs resolved to NAME@VERSION. */
  readonly request: string;
  /** JSON: {spec, digest}[] of datasets and slices. */
  readonly datasets: string;
  readonly slices: string;
  readonly priority: number;
  readonly state: JobState;
  readonly detail: string | null;
  /** JSON: JobProgress. */
  readonly progress: string | null;
  /** JSON: Evaluation. */
  readonly evaluation: string | null;
  readonly version: number | null;
  readonly created_by: string;
  readonly created_at: string;
  readonly started_at: string | null;
  readonly ended_at: string | null;
}

interface JobPointTable {
  readonly job: string;
  readonly step: number;
  readonly loss: number;
  readonly metric: number | null;
  readonly learning_rate: number;
}

/** What a trained version was made from; written in the transaction that makes the version. */
interface LineageTable {
  readonly model: string;
  readonly version: number;
  readonly job: string;
  readonly parent: number;
  readonly parent_digest: string;
  /** JSON: {spec, digest}[] */
  readonly datasets: string;
  /** JSON: TrainingParameters. */
  readonly parameters: string;
  /** The hub's version that ran the job. */
  readonly code_version: string;
  /** JSON: Evaluation. */
  readonly evaluation: string;
}

/** Requests for jobs that named a key of their own, so that they can be sent again. */
interface JobKeyTable {
  readonly actor: string;
  readonly key: string;
  readonly request_digest: string;
  readonly job: string;
}

export interface TrainingTables {
  readonly jobs: JobTable;
  readonly job_points: JobPointTable;
  readonly lineage: LineageTable;
  readonly job_keys: JobKeyTable;
}

export const trainingMigration: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    await db.schema
      .createTable('jobs')
      .addColumn('id', 'text', (c) => c.primaryKey())
      .addColumn('model', 'text', (c) => c.notNull())
      .addColumn('parent', 'integer', (c) => c.notNull())
      .addColumn('parent_digest', 'text', (c) => c.notNull())
      .addColumn('request', 'text', (c) => c.notNull())
      .addColumn('datasets', 'text', (c) => c.notNull())
      .addColumn('slices', 'text', (c) => c.notNull())
      .addColumn('priority', 'integer', (c) => c.notNull())
      .addColumn('state', 'text', (c) => c.notNull())
      .addColumn('detail', 'text')
      .addColumn('progress', 'text')
      .addColumn('evaluation', 'text')
      .addColumn('version', 'integer')
      .addColumn('created_by', 'text', (c) => c.notNull())
      .addColumn('created_at', 'text', (c) => c.notNull())
      .addColumn('started_at', 'text')
      .addColumn('ended_at', 'text')
      .execute();
    await db.schema.createIndex('jobs_state').on('jobs').columns(['state', 'priority', 'created_at']).execute();
    await db.schema
      .createTable('job_points')
      .addColumn('job', 'text', (c) => c.notNull().references('jobs.id'))
      .addColumn('step', 'integer', (c) => c.notNull())
      .addColumn('loss', 'real', (c) => c.notNull())
      .addColumn('metric', 'real')
      .addColumn('learning_rate', 'real', (c) => c.notNull())
      .addPrimaryKeyConstraint('job_points_key', ['job', 'step'])
      .execute();
    await db.schema
      .createTable('lineage')
      .addColumn('model', 'text', (c) => c.notNull())
      .addColumn('version', 'integer', (c) => c.notNull())
      .addColumn('job', 'text', (c) => c.notNull().references('jobs.id'))
      .addColumn('parent', 'integer', (c) => c.notNull())
      .addColumn('parent_digest', 'text', (c) => c.notNull())
      .addColumn('datasets', 'text', (c) => c.notNull())
      .addColumn('parameters', 'text', (c) => c.notNull())
      .addColumn('code_version', 'text', (c) => c.notNull())
      .addColumn('evaluation', 'text', (c) => c.notNull())
      .addPrimaryKeyConstraint('lineage_key', ['model', 'version'])
      .execute();
  },
};

export const jobKeysMigration: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    await db.schema
      .createTable('job_keys')
      .addColumn('actor', 'text', (c) => c.notNull())
      .addColumn('key', 'text', (c) => c.notNull())
      .addColumn('request_digest', 'text', (c) => c.notNull())
      .addColumn('job', 'text', (c) => c.notNull().references('jobs.id'))
      .addPrimaryKeyConstraint('job_keys_key', ['actor', 'key'])
      .execute();
    await db.schema.createIndex('job_keys_job').on('job_keys').column('job').execute();
  },
};

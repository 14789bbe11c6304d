// Tables of MLflow's side of the hub: experiments, runs and what was logged to them. Times are milliseconds, as MLflow's are. A run that
// shows a training job (`job` set) is a copy that cloud-hub/mlflow/job-runs.ts keeps; nobody else writes to it.
import type { Generated, Kysely, Migration } from 'kysely';

interface MlflowExperimentTable {
  readonly id: Generated<number>;
  readonly name: string;
  readonly state: 'active' | 'deleted';
  readonly created_ms: number;
  readonly updated_ms: number;
  /** Name of the model whose training jobs it shows; null for one that a client made. */
  readonly model: string | null;
}

export interface MlflowRunTable {
  /** 32 hexadecimal digits, or `job-<id>`. */
  readonly id: string;
  readonly experiment: number;
  readonly name: string;
  /** Who the client says runs it; the actor that made it is in the audit log. */
  readonly user: string;
  readonly status: 'RUNNING' | 'SCHEDULED' | 'FINISHED' | 'FAILED' | 'KILLED';
  readonly start_ms: number;
  readonly end_ms: number | null;
  readonly state: 'active' | 'deleted';
  readonly deleted_ms: number | null;
  /** Rows that it has in mlflow_metrics. */
  readonly points: number;
  /** What its answer weighs, about: keys and values of params, tags, datasets and latest metrics. */
  readonly text_bytes: number;
  /** The training job that it shows. */
  readonly job: string | null;
}

interface MlflowExperimentTagTable {
  readonly experiment: number;
  readonly key: string;
  readonly value: string;
}

/** Params and tags alike. */
interface MlflowTextTable {
  readonly run: string;
  readonly key: string;
  readonly value: string;
}

/** SQLite keeps no NaN: `nan` 1 with the value 0. Infinities are values. */
export interface MlflowMetricTable {
  readonly run: string;
  readonly key: string;
  readonly at_ms: number;
  readonly step: number;
  readonly value: number;
  readonly nan: 0 | 1;
}

export interface MlflowInputTable {
  readonly run: string;
  readonly name: string;
  readonly digest: string;
  readonly source_type: string;
  readonly source: string;
  readonly schema: string | null;
  readonly profile: string | null;
  /** The tag `mlflow.data.context`. */
  readonly context: string | null;
  /** JSON: {key, value}[]. */
  readonly tags: string;
}

export interface MlflowTables {
  readonly mlflow_experiments: MlflowExperimentTable;
  readonly mlflow_experiment_tags: MlflowExperimentTagTable;
  readonly mlflow_runs: MlflowRunTable;
  readonly mlflow_params: MlflowTextTable;
  readonly mlflow_tags: MlflowTextTable;
  /** Every point, once. */
  readonly mlflow_metrics: MlflowMetricTable;
  /** Of each run and key the point with the largest step, then time, then value. */
  readonly mlflow_latest: MlflowMetricTable;
  readonly mlflow_inputs: MlflowInputTable;
}

export const mlflowMigration: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    await createExperiments(db);
    await createRuns(db);
    await createTexts(db);
    await createMetrics(db);
    await createInputs(db);
  },
};

/** With MLflow's experiment `0`, Default, into which clients log that name none. */
async function createExperiments(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('mlflow_experiments')
    .addColumn('id', 'integer', (c) => c.primaryKey().autoIncrement())
    .addColumn('name', 'text', (c) => c.notNull().unique())
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('created_ms', 'integer', (c) => c.notNull())
    .addColumn('updated_ms', 'integer', (c) => c.notNull())
    .addColumn('model', 'text', (c) => c.unique())
    .execute();
  await db.schema
    .createTable('mlflow_experiment_tags')
    .addColumn('experiment', 'integer', (c) => c.notNull().references('mlflow_experiments.id'))
    .addColumn('key', 'text', (c) => c.notNull())
    .addColumn('value', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('mlflow_experiment_tags_key', ['experiment', 'key'])
    .execute();
  await (db as Kysely<{ mlflow_experiments: { id: number } & Omit<MlflowExperimentTable, 'id'> }>)
    .insertInto('mlflow_experiments')
    .values({ id: 0, name: 'Default', state: 'active', created_ms: 0, updated_ms: 0, model: null })
    .execute();
}

async function createRuns(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('mlflow_runs')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('experiment', 'integer', (c) => c.notNull().references('mlflow_experiments.id'))
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('user', 'text', (c) => c.notNull())
    .addColumn('status', 'text', (c) => c.notNull())
    .addColumn('start_ms', 'integer', (c) => c.notNull())
    .addColumn('end_ms', 'integer')
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('deleted_ms', 'integer')
    .addColumn('points', 'integer', (c) => c.notNull())
    .addColumn('text_bytes', 'integer', (c) => c.notNull())
    .addColumn('job', 'text', (c) => c.unique())
    .execute();
  await db.schema
    .createIndex('mlflow_runs_experiment')
    .on('mlflow_runs')
    .columns(['experiment', 'start_ms', 'id'])
    .execute();
  await db.schema.createIndex('mlflow_runs_deleted').on('mlflow_runs').columns(['deleted_ms']).execute();
}

async function createTexts(db: Kysely<unknown>): Promise<void> {
  for (const table of ['mlflow_params', 'mlflow_tags']) {
    await db.schema
      .createTable(table)
      .addColumn('run', 'text', (c) => c.notNull().references('mlflow_runs.id').onDelete('cascade'))
      .addColumn('key', 'text', (c) => c.notNull())
      .addColumn('value', 'text', (c) => c.notNull())
      .addPrimaryKeyConstraint(`${table}_key`, ['run', 'key'])
      .execute();
  }
}

async function createMetrics(db: Kysely<unknown>): Promise<void> {
  for (const table of ['mlflow_metrics', 'mlflow_latest']) {
    const points = ['run', 'key', 'at_ms', 'step', 'value', 'nan'] as const;
    await db.schema
      .createTable(table)
      .addColumn('run', 'text', (c) => c.notNull().references('mlflow_runs.id').onDelete('cascade'))
      .addColumn('key', 'text', (c) => c.notNull())
      .addColumn('at_ms', 'integer', (c) => c.notNull())
      .addColumn('step', 'integer', (c) => c.notNull())
      .addColumn('value', 'double precision', (c) => c.notNull())
      .addColumn('nan', 'integer', (c) => c.notNull())
      .addPrimaryKeyConstraint(`${table}_key`, table === 'mlflow_latest' ? ['run', 'key'] : [...points])
      .execute();
  }
}

async function createInputs(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('mlflow_inputs')
    .addColumn('run', 'text', (c) => c.notNull().references('mlflow_runs.id').onDelete('cascade'))
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('digest', 'text', (c) => c.notNull())
    .addColumn('source_type', 'text', (c) => c.notNull())
    .addColumn('source', 'text', (c) => c.notNull())
    .addColumn('schema', 'text')
    .addColumn('profile', 'text')
    .addColumn('context', 'text')
    .addColumn('tags', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('mlflow_inputs_key', ['run', 'name', 'digest'])
    .execute();
}

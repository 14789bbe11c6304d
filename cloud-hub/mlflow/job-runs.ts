// The hub's training jobs as MLflow's runs, in an experiment `tidegate/<model>` each, so that one search finds both. A job's run is a copy of
// its row that is made anew whenever somebody reads while the job goes on, and once more when it has ended; the points of its chart are not
// copied but read where they are. Nobody but this file writes to such a run.
import type { Transaction } from 'kysely';
import type { JobState, TrainingParameters } from '@tidegate/shared/wire/training-api.js';
import type { Database, Tables } from '../storage/database.js';
import type { MlflowMetricTable } from '../storage/tables/mlflow.js';
import { findJob, type JobRecord } from '../training/jobs/job-store.js';
import { JOBS_PREFIX } from './experiments.js';
import { textBytes } from './run-log.js';
import type { RunRow } from './run-rows.js';

const STATUS: Readonly<Record<JobState, RunRow['status']>> = {
  queued: 'SCHEDULED',
  preempted: 'SCHEDULED',
  running: 'RUNNING',
  publishing: 'RUNNING',
  succeeded: 'FINISHED',
  failed: 'FAILED',
  cancelled: 'KILLED',
};

/** Columns of job_points by the name that the metric has here. */
const CHARTED = { loss: 'loss', accuracy: 'metric', learning_rate: 'learning_rate' } as const;

export const jobRunId = (job: string): string => `job-${job}`;

/** Brings the copies up to date. */
export async function refreshJobRuns(db: Database): Promise<void> {
  const stale = await db
    .selectFrom('jobs')
    .leftJoin('mlflow_runs', 'mlflow_runs.job', 'jobs.id')
    .select('jobs.id')
    .where((e) => e.or([e('mlflow_runs.id', 'is', null), e('mlflow_runs.status', 'in', ['RUNNING', 'SCHEDULED'])]))
    .execute();
  for (const { id } of stale) await db.transaction().execute((trx) => copy(trx, id));
}

/** Points of the job's chart; undefined for a metric that isn't charted. */
export async function jobHistory(
  db: Database,
  run: RunRow,
  key: string,
  range: { readonly offset: number; readonly limit: number },
): Promise<MlflowMetricTable[] | undefined> {
  if (run.job === null || !Object.hasOwn(CHARTED, key)) return undefined;
  const column = CHARTED[key as keyof typeof CHARTED];
  const rows = await db
    .selectFrom('job_points')
    .select(['step', `${column} as value`])
    .where('job', '=', run.job)
    .where(column, 'is not', null)
    .orderBy('step')
    .limit(range.limit)
    .offset(range.offset)
    .execute();
  return rows.map(({ step, value }) => point(run.id, key, Number(value), step, run.start_ms));
}

async function copy(trx: Transaction<Tables>, id: string): Promise<void> {
  const job = await findJob(trx, id);
  if (job === undefined) return;
  const run = jobRunId(id);
  const tags = tagsOf(job);
  const params = paramsOf(job.request.parameters, job);
  const row: RunRow = {
    id: run,
    experiment: await experimentOf(trx, job),
    name: id,
    user: job.createdBy,
    status: STATUS[job.state],
    start_ms: Date.parse(job.startedAt ?? job.createdAt),
    end_ms: job.endedAt === undefined ? null : Date.parse(job.endedAt),
    state: 'active',
    deleted_ms: null,
    points: 0,
    text_bytes: textBytes([...tags, ...params]),
    job: id,
  };
  await trx
    .insertInto('mlflow_runs')
    .values(row)
    .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
    .execute();
  for (const table of ['mlflow_params', 'mlflow_tags', 'mlflow_latest', 'mlflow_inputs'] as const) {
    await trx.deleteFrom(table).where('run', '=', run).execute();
  }
  const latest = await latestOf(trx, job, row);
  await trx
    .insertInto('mlflow_params')
    .values(params.map((param) => ({ run, ...param })))
    .execute();
  await trx
    .insertInto('mlflow_tags')
    .values(tags.map((tag) => ({ run, ...tag })))
    .execute();
  if (latest.length > 0) await trx.insertInto('mlflow_latest').values(latest).execute();
  await trx.insertInto('mlflow_inputs').values(inputsOf(run, job)).execute();
}

async function experimentOf(trx: Transaction<Tables>, { model, createdAt }: JobRecord): Promise<number> {
  const atMs = Date.parse(createdAt);
  const { id } = await trx
    .insertInto('mlflow_experiments')
    .values({ name: `${JOBS_PREFIX}${model}`, state: 'active', created_ms: atMs, updated_ms: atMs, model })
    .onConflict((conflict) => conflict.column('model').doUpdateSet({ model }))
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}

interface Text {
  readonly key: string;
  readonly value: string;
}

function paramsOf(parameters: TrainingParameters, { model, parent, request }: JobRecord): Text[] {
  const all = { model, parent, threads: request.threads, maxDrop: request.maxDrop, ...parameters };
  return Object.entries(all)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ({ key, value: typeof value === 'object' ? JSON.stringify(value) : String(value) }));
}

function tagsOf(job: JobRecord): Text[] {
  const { evaluation } = job;
  const digests = [...job.datasets, ...job.slices].map(
    ({ spec, digest }) => [`tidegate.dataset.${spec}`, digest] as const,
  );
  const all = new Map<string, string | undefined>([
    ['mlflow.runName', job.id],
    ['mlflow.user', job.createdBy],
    ['mlflow.source.name', 'tidegate train'],
    ['mlflow.source.type', 'JOB'],
    ['tidegate.state', job.state],
    ['tidegate.detail', job.detail],
    ['tidegate.parent.digest', job.parentDigest],
    ['tidegate.version', job.version === undefined ? undefined : `${job.model}@${job.version}`],
    ['tidegate.evaluation.passed', evaluation === undefined ? undefined : String(evaluation.passed)],
    ['tidegate.evaluation.reason', evaluation?.reason],
    ...digests,
  ]);
  return [...all].flatMap(([key, value]) => (value === undefined ? [] : [{ key, value }]));
}

/** The chart's last point, and what was measured in the end: `held-out/hard.v1/accuracy`, and the parent's as `.../parent_accuracy`. */
async function latestOf(trx: Transaction<Tables>, job: JobRecord, run: RunRow): Promise<MlflowMetricTable[]> {
  const last = await trx
    .selectFrom('job_points')
    .selectAll()
    .where('job', '=', job.id)
    .orderBy('step', 'desc')
    .limit(1)
    .executeTakeFirst();
  const charted = Object.entries(CHARTED).flatMap(([key, column]) => {
    const value = last?.[column];
    return last === undefined || value === undefined || value === null
      ? []
      : [point(run.id, key, value, last.step, run.start_ms)];
  });
  const endMs = run.end_ms ?? run.start_ms;
  const measured = (job.evaluation?.sets ?? []).flatMap(({ role, dataset, metric, parent, result }) => {
    const place = `${role}/${dataset.replace('@', '.v')}`;
    const name = metric.replaceAll('-', '_');
    return [
      point(run.id, `${place}/${name}`, result, last?.step ?? 0, endMs),
      point(run.id, `${place}/parent_${name}`, parent, last?.step ?? 0, endMs),
    ];
  });
  return [...charted, ...measured];
}

function point(run: string, key: string, value: number, step: number, atMs: number): MlflowMetricTable {
  return { run, key, at_ms: atMs, step, value, nan: 0 };
}

function inputsOf(run: string, job: JobRecord): Tables['mlflow_inputs'][] {
  const sets = [
    ...job.datasets.map((set) => ({ ...set, context: 'training' })),
    ...job.slices.map((set) => ({ ...set, context: 'evaluation' })),
  ];
  const rows = sets.map(({ spec, digest, context }) => ({
    run,
    name: spec,
    digest,
    source_type: 'tidegate',
    source: JSON.stringify({ dataset: spec }),
    schema: null,
    profile: null,
    context,
    tags: JSON.stringify([{ key: 'mlflow.data.context', value: context }]),
  }));
  return [...new Map(rows.map((row) => [`${row.name} ${row.digest}`, row])).values()];
}

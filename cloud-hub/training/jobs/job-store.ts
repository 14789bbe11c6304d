// Jobs in the database. A state changes by one statement that names the states it may come from, with its audit entry in the same
// transaction: whoever is late (a cancel and an end at the same moment) finds that nothing was changed, and does nothing.
import type { Selectable, Transaction } from 'kysely';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import {
  createJobSchema,
  evaluationSchema,
  jobProgressSchema,
  type CreateJob,
  type Evaluation,
  type Job,
  type JobPoint,
  type JobProgress,
  type JobState,
} from '@tidegate/shared/wire/training-api.js';
import type { Database, Tables } from '../../storage/database.js';
import type { JobTable } from '../../storage/tables/training.js';
import type { RecordAudit } from '../../security/audit.js';

export interface PinnedDataset {
  /** `hard@1`. */
  readonly spec: string;
  readonly digest: Digest;
}

/** Specs are resolved, and what was left out is filled in. */
export type JobRequest = CreateJob & { readonly threads: number; readonly memoryLimitBytes: number };

export interface JobRecord {
  readonly id: string;
  readonly model: string;
  readonly parent: number;
  readonly parentDigest: Digest;
  readonly request: JobRequest;
  readonly datasets: readonly PinnedDataset[];
  readonly slices: readonly PinnedDataset[];
  readonly priority: number;
  readonly state: JobState;
  readonly detail: string | undefined;
  readonly progress: JobProgress | undefined;
  readonly evaluation: Evaluation | undefined;
  readonly version: number | undefined;
  readonly createdBy: string;
  readonly createdAt: string;
  readonly startedAt: string | undefined;
  readonly endedAt: string | undefined;
}

export interface JobChange {
  readonly state?: JobState;
  readonly detail?: string | undefined;
  readonly progress?: JobProgress;
  readonly evaluation?: Evaluation;
  readonly version?: number;
  readonly startedAt?: string;
  readonly endedAt?: string;
}

type Reader = Database | Transaction<Tables>;

export const OPEN_STATES = ['queued', 'preempted', 'running', 'publishing'] as const satisfies readonly JobState[];

export async function insertJob(trx: Transaction<Tables>, job: JobRecord): Promise<void> {
  await trx
    .insertInto('jobs')
    .values({
      id: job.id,
      model: job.model,
      parent: job.parent,
      parent_digest: job.parentDigest,
      request: JSON.stringify(job.request),
      datasets: JSON.stringify(job.datasets),
      slices: JSON.stringify(job.slices),
      priority: job.priority,
      state: job.state,
      detail: job.detail ?? null,
      progress: null,
      evaluation: null,
      version: null,
      created_by: job.createdBy,
      created_at: job.createdAt,
      started_at: null,
      ended_at: null,
    })
    .execute();
}

export async function findJob(db: Reader, id: string): Promise<JobRecord | undefined> {
  const row = await db.selectFrom('jobs').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? undefined : recordOf(row);
}

export async function jobsInState(db: Reader, states: readonly JobState[]): Promise<JobRecord[]> {
  const rows = await db.selectFrom('jobs').selectAll().where('state', 'in', states).orderBy('created_at').execute();
  return rows.map(recordOf);
}

interface JobQuery {
  readonly limit: number;
  /** Jobs older than the one of this id. */
  readonly beforeId?: string | undefined;
  readonly state?: JobState | undefined;
  readonly model?: string | undefined;
}

/** Newest first: ids begin with the time. */
export async function listJobs(db: Reader, { limit, beforeId, state, model }: JobQuery): Promise<JobRecord[]> {
  let select = db.selectFrom('jobs').selectAll().orderBy('id', 'desc').limit(limit);
  if (beforeId !== undefined) select = select.where('id', '<', beforeId);
  if (state !== undefined) select = select.where('state', '=', state);
  if (model !== undefined) select = select.where('model', '=', model);
  return (await select.execute()).map(recordOf);
}

interface StateChange {
  readonly id: string;
  /** Nothing happens where it is in none of these. */
  readonly from: readonly JobState[];
  readonly change: JobChange;
  readonly audit?: {
    readonly actor: string;
    readonly action: string;
    readonly detail?: Readonly<Record<string, unknown>>;
  };
}

/** The job as it is afterwards; undefined where it was in none of the states `from`. */
export async function changeJob(
  { db, audit }: { readonly db: Database; readonly audit: RecordAudit },
  { id, from, change, audit: entry }: StateChange,
  nowMs: number,
): Promise<JobRecord | undefined> {
  return db.transaction().execute(async (trx) => {
    const result = await trx
      .updateTable('jobs')
      .set(columnsOf(change))
      .where('id', '=', id)
      .where('state', 'in', from)
      .executeTakeFirst();
    if (result.numUpdatedRows === 0n) return undefined;
    if (entry !== undefined) await audit(trx, { ...entry, subject: `job:${id}` }, nowMs);
    return findJob(trx, id);
  });
}

/** Progress and points of a job that runs. A point that is there already is replaced: the steps since a checkpoint are done again. */
export async function writeProgress(
  db: Database,
  id: string,
  change: Pick<JobChange, 'detail' | 'progress'>,
  points: readonly JobPoint[],
): Promise<JobRecord | undefined> {
  return db.transaction().execute(async (trx) => {
    for (const { step, loss, metric, learningRate } of points) {
      const row = { job: id, step, loss, metric: metric ?? null, learning_rate: learningRate };
      await trx
        .insertInto('job_points')
        .values(row)
        .onConflict((conflict) => conflict.columns(['job', 'step']).doUpdateSet(row))
        .execute();
    }
    if (change.progress !== undefined || change.detail !== undefined) {
      await trx
        .updateTable('jobs')
        .set(columnsOf(change))
        .where('id', '=', id)
        .where('state', '=', 'running')
        .execute();
    }
    return findJob(trx, id);
  });
}

/** Oldest first; more than `limit` are thinned evenly, the last one stays. */
export async function pointsOf(db: Database, id: string, limit: number): Promise<JobPoint[]> {
  const rows = await db.selectFrom('job_points').selectAll().where('job', '=', id).orderBy('step').execute();
  const stride = Math.ceil(rows.length / limit);
  const kept = rows.filter((_, at) => (rows.length - 1 - at) % Math.max(1, stride) === 0);
  return kept.map(({ step, loss, metric, learning_rate }) => ({
    step,
    loss,
    ...(metric === null ? {} : { metric }),
    learningRate: learning_rate,
  }));
}

/** Forgets the points of all jobs but the newest `kept`; their last progress stays. */
export async function trimPoints(db: Database, kept: number): Promise<void> {
  const newest = await db
    .selectFrom('jobs')
    .select('id')
    .orderBy('id', 'desc')
    .offset(kept)
    .limit(1)
    .executeTakeFirst();
  if (newest !== undefined) await db.deleteFrom('job_points').where('job', '<=', newest.id).execute();
}

export function showJob(job: JobRecord): Job {
  const { request } = job;
  return {
    id: job.id,
    model: job.model,
    parent: job.parent,
    parentDigest: job.parentDigest,
    datasets: [...job.datasets],
    slices: [...job.slices],
    ...(request.graph === undefined ? {} : { graph: request.graph }),
    ...(request.label === undefined ? {} : { label: request.label }),
    parameters: request.parameters,
    priority: job.priority,
    threads: request.threads,
    memoryLimitBytes: request.memoryLimitBytes,
    maxDrop: request.maxDrop,
    state: job.state,
    ...(job.detail === undefined ? {} : { detail: job.detail }),
    ...(job.progress === undefined ? {} : { progress: job.progress }),
    ...(job.evaluation === undefined ? {} : { evaluation: job.evaluation }),
    ...(job.version === undefined ? {} : { version: job.version }),
    createdBy: job.createdBy,
    createdAt: job.createdAt,
    ...(job.startedAt === undefined ? {} : { startedAt: job.startedAt }),
    ...(job.endedAt === undefined ? {} : { endedAt: job.endedAt }),
  };
}

function recordOf(row: Selectable<JobTable>): JobRecord {
  const request = createJobSchema.parse(JSON.parse(row.request));
  const { threads = 1, memoryLimitBytes = 0 } = request; // always there: resolve-request.ts filled them in
  return {
    id: row.id,
    model: row.model,
    parent: row.parent,
    parentDigest: row.parent_digest,
    request: { ...request, threads, memoryLimitBytes },
    datasets: JSON.parse(row.datasets) as PinnedDataset[],
    slices: JSON.parse(row.slices) as PinnedDataset[],
    priority: row.priority,
    state: row.state,
    detail: row.detail ?? undefined,
    progress: row.progress === null ? undefined : jobProgressSchema.parse(JSON.parse(row.progress)),
    evaluation: row.evaluation === null ? undefined : evaluationSchema.parse(JSON.parse(row.evaluation)),
    version: row.version ?? undefined,
    createdBy: row.created_by,
    createdAt: row.created_at,
    startedAt: row.started_at ?? undefined,
    endedAt: row.ended_at ?? undefined,
  };
}

/** Only the columns that the change names; `detail: undefined` takes the detail away. */
function columnsOf(change: JobChange): Record<string, string | number | null> {
  return {
    ...(change.state === undefined ? {} : { state: change.state }),
    ...('detail' in change ? { detail: change.detail ?? null } : {}),
    ...(change.progress === undefined ? {} : { progress: JSON.stringify(change.progress) }),
    ...(change.evaluation === undefined ? {} : { evaluation: JSON.stringify(change.evaluation) }),
    ...(change.version === undefined ? {} : { version: change.version }),
    ...(change.startedAt === undefined ? {} : { started_at: change.startedAt }),
    ...(change.endedAt === undefined ? {} : { ended_at: change.endedAt }),
  };
}

// What trained versions were made from, as the database holds it. A row is written in the transaction that makes its version, so there
// is no trained version without its origin, and never changes.
import type { Transaction } from 'kysely';
import {
  evaluationSchema,
  trainingParametersSchema,
  type Evaluation,
  type TrainingParameters,
} from '@tidegate/shared/wire/training-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { Database, Tables } from '../../storage/database.js';

/** `spec`: `hard@1`. */
interface Source {
  readonly spec: string;
  readonly digest: Digest;
}

export interface Origin {
  readonly model: string;
  readonly version: number;
  readonly job: string;
  readonly parent: number;
  readonly parentDigest: Digest;
  readonly datasets: readonly Source[];
  readonly parameters: TrainingParameters;
  /** Of the hub that ran the job. */
  readonly codeVersion: string;
  readonly evaluation: Evaluation;
}

export async function insertOrigin(trx: Transaction<Tables>, origin: Origin): Promise<void> {
  await trx
    .insertInto('lineage')
    .values({
      model: origin.model,
      version: origin.version,
      job: origin.job,
      parent: origin.parent,
      parent_digest: origin.parentDigest,
      datasets: JSON.stringify(origin.datasets),
      parameters: JSON.stringify(origin.parameters),
      code_version: origin.codeVersion,
      evaluation: JSON.stringify(origin.evaluation),
    })
    .execute();
}

/** The version that this job made; undefined where it made none that wasn't there before. */
export async function versionMadeBy(db: Database, job: string): Promise<Pick<Origin, 'model' | 'version'> | undefined> {
  return db.selectFrom('lineage').select(['model', 'version']).where('job', '=', job).executeTakeFirst();
}

/** Undefined for a version that no job made. */
export async function findOrigin(db: Database, model: string, version: number): Promise<Origin | undefined> {
  const row = await db
    .selectFrom('lineage')
    .selectAll()
    .where('model', '=', model)
    .where('version', '=', version)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  return {
    model: row.model,
    version: row.version,
    job: row.job,
    parent: row.parent,
    parentDigest: row.parent_digest,
    datasets: JSON.parse(row.datasets) as Source[],
    parameters: trainingParametersSchema.parse(JSON.parse(row.parameters)),
    codeVersion: row.code_version,
    evaluation: evaluationSchema.parse(JSON.parse(row.evaluation)),
  };
}

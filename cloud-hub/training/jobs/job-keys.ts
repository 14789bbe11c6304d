// Which job came of a request that its client may send again: an answer that was lost on the way must not make a second job. A key is
// its caller's alone; the same key with another request is a mistake of the client's, and is said so.
import type { Transaction } from 'kysely';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import type { CreateJob } from '@tidegate/shared/wire/training-api.js';
import type { Database, Tables } from '../../storage/database.js';
import { JobError } from './job-error.js';
import { findJob, type JobRecord } from './job-store.js';

/** Keys that are remembered; the oldest make room. Who has had no answer asks again within minutes. */
const LIMIT_KEYS = 10_000;

interface KeyedRequest {
  readonly actor: string;
  readonly key: string;
  readonly asked: CreateJob;
}

/** Undefined for a key that is new. Rejects with JobError `invalid` for one that came with another request. */
export async function jobOfKey(
  db: Database | Transaction<Tables>,
  { actor, key, asked }: KeyedRequest,
): Promise<JobRecord | undefined> {
  const known = await db
    .selectFrom('job_keys')
    .selectAll()
    .where('actor', '=', actor)
    .where('key', '=', key)
    .executeTakeFirst();
  if (known === undefined) return undefined;
  if (known.request_digest !== digestOf(asked)) {
    throw new JobError('invalid', `this key belongs to another request, which made job ${known.job}`, {
      field: 'idempotency-key',
    });
  }
  return findJob(db, known.job);
}

/** In the transaction that makes the job. */
export async function rememberKey(
  trx: Transaction<Tables>,
  { actor, key, asked }: KeyedRequest,
  job: string,
  limit = LIMIT_KEYS,
): Promise<void> {
  await trx
    .insertInto('job_keys')
    .values({ actor, key, request_digest: digestOf(asked), job })
    .execute();
  // Ids of jobs sort by time.
  const tooOld = await trx
    .selectFrom('job_keys')
    .select('job')
    .orderBy('job', 'desc')
    .offset(limit)
    .limit(1)
    .executeTakeFirst();
  if (tooOld !== undefined) await trx.deleteFrom('job_keys').where('job', '<=', tooOld.job).execute();
}

/** Of the request as its schema reads it: fields in the schema's order, defaults filled in. */
function digestOf(asked: CreateJob): string {
  return sha256(JSON.stringify(asked));
}

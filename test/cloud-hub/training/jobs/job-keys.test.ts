// What is remembered of keys, over a real database; that a repeated request makes one job is held by the routes' test.
import { jobOfKey, rememberKey } from '@tidegate/cloud-hub/training/jobs/job-keys.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { createJobSchema } from '@tidegate/shared/wire/training-api.js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { addJob } from '../../../support/job-rows.js';

let db: Database;
beforeEach(async () => (db = await openSqlite(':memory:')));
afterEach(() => db.destroy());

const asked = createJobSchema.parse({ model: 'tiny', parent: '1', datasets: ['hard@1'] });
const keyed = (key: string) => ({ actor: 'token:t', key, asked });

async function remember(job: string, limit?: number): Promise<void> {
  await addJob(db, job);
  await db.transaction().execute((trx) => rememberKey(trx, keyed(`key of ${job}`), job, limit));
}

test('the oldest keys make room', async () => {
  for (const job of ['j1', 'j2', 'j3']) await remember(job, 2);
  expect(await jobOfKey(db, keyed('key of j1'))).toBeUndefined();
  for (const job of ['j2', 'j3']) expect(await jobOfKey(db, keyed(`key of ${job}`))).toMatchObject({ id: job });
});

test('what a default says and what is said out loud is one request', async () => {
  await remember('j1');
  const outLoud = createJobSchema.parse({ ...asked, parameters: { epochs: 3 }, priority: 0 });
  expect(await jobOfKey(db, { ...keyed('key of j1'), asked: outLoud })).toMatchObject({ id: 'j1' });
  const other = createJobSchema.parse({ ...asked, priority: 1 });
  await expect(jobOfKey(db, { ...keyed('key of j1'), asked: other })).rejects.toMatchObject({
    code: 'invalid',
    field: 'idempotency-key',
  });
  expect(await jobOfKey(db, { ...keyed('key of j1'), actor: 'token:u' })).toBeUndefined();
});

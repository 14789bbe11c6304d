import {
  changeJob,
  findJob,
  listJobs,
  pointsOf,
  trimPoints,
  writeProgress,
} from '@tidegate/cloud-hub/training/jobs/job-store.js';
import { listAudit, recordAudit } from '@tidegate/cloud-hub/security/audit.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { addJob } from '../../../support/job-rows.js';

let db: Database;
beforeEach(async () => {
  db = await openSqlite(':memory:');
});
afterEach(() => db.destroy());

test('of two who end a job at the same moment one does, with its audit entry, and the other nothing', async () => {
  await addJob(db, 'j1', { state: 'running' });
  const end = (state: 'cancelled' | 'failed') =>
    changeJob(
      { db, audit: recordAudit },
      { id: 'j1', from: ['running'], change: { state }, audit: { actor: 'a', action: `train.${state}` } },
      0,
    );
  const [first, second] = await Promise.all([end('cancelled'), end('failed')]);
  expect([first?.state, second]).toEqual(['cancelled', undefined]);
  expect((await listAudit(db, { limit: 10 })).map(({ action, subject }) => [action, subject])).toEqual([
    ['train.cancelled', 'job:j1'],
  ]);
});

test('a detail that is taken away is gone; what a change doesn’t name stays', async () => {
  await addJob(db, 'j1', { detail: 'waits' });
  const change = (wanted: object) =>
    changeJob({ db, audit: recordAudit }, { id: 'j1', from: ['queued'], change: wanted }, 0);
  expect(await change({ version: 3 })).toMatchObject({ detail: 'waits', version: 3 });
  expect(await change({ detail: undefined })).toMatchObject({ detail: undefined, version: 3 });
});

test('lists newest first, from where the last page ended, and by state', async () => {
  for (const id of ['j1', 'j2', 'j3']) await addJob(db, id, { state: id === 'j2' ? 'failed' : 'queued' });
  const ids = async (query: object) => (await listJobs(db, { limit: 10, ...query })).map(({ id }) => id);
  expect(await ids({})).toEqual(['j3', 'j2', 'j1']);
  expect(await ids({ beforeId: 'j3', limit: 1 })).toEqual(['j2']);
  expect(await ids({ state: 'queued' })).toEqual(['j3', 'j1']);
  expect(await ids({ model: 'nobody' })).toEqual([]);
  expect(await findJob(db, 'j9')).toBeUndefined();
});

test('points are kept of the newest jobs', async () => {
  for (const id of ['j1', 'j2', 'j3', 'j4']) {
    await addJob(db, id, { state: 'running' });
    await writeProgress(db, id, {}, [{ step: 1, loss: 1, learningRate: 0.1 }]);
  }
  await trimPoints(db, 2);
  const left = await Promise.all(['j1', 'j2', 'j3', 'j4'].map(async (id) => (await pointsOf(db, id, 10)).length));
  expect(left).toEqual([0, 0, 1, 1]);
  await trimPoints(db, 9);
  expect(await pointsOf(db, 'j4', 10)).toHaveLength(1);
});

test.each([
  [1, 5],
  [10, 4],
  [1000, 500],
  [999, 500],
])('%i points thinned to %i: evenly, and the last one is among them', async (count, limit) => {
  await addJob(db, 'j1', { state: 'running' });
  const points = Array.from({ length: count }, (_, at) => ({ step: at + 1, loss: 1, learningRate: 0.1 }));
  await writeProgress(db, 'j1', {}, points);
  const kept = (await pointsOf(db, 'j1', limit)).map(({ step }) => step);
  expect(kept.length).toBeLessThanOrEqual(limit);
  expect(kept.length).toBeGreaterThan(limit / 2 > count ? 0 : Math.min(count, limit / 2 - 1));
  expect(kept.at(-1)).toBe(count);
  expect(new Set(kept.slice(1).map((step, at) => step - kept[at]!)).size).toBeLessThanOrEqual(1);
});

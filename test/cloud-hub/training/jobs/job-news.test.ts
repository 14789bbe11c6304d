// However fast a process tells of itself, the database and those who watch hear at most four times a second, and hear the last of it.
import { JobNews } from '@tidegate/cloud-hub/training/jobs/job-news.js';
import { findJob, pointsOf, type JobRecord } from '@tidegate/cloud-hub/training/jobs/job-store.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../../support/manual-clock.js';
import { addJob } from '../../../support/job-rows.js';

let db: Database;
let clock: ManualClock;
let told: JobRecord[];
let news: JobNews;

beforeEach(async () => {
  db = await openSqlite(':memory:');
  clock = new ManualClock();
  told = [];
  await addJob(db, 'j1', { state: 'running' });
  news = new JobNews('j1', { db, clock, log: silentLog, onJob: (job) => told.push(job) });
});
afterEach(() => db.destroy());

function hearStep(step: number): void {
  news.hear({ kind: 'progress', phase: 'training', progress: { step, steps: 100, epoch: 0, loss: 1 / step } });
  news.hear({ kind: 'point', point: { step, loss: 1 / step, learningRate: 0.1 } });
}

test('a hundred steps in a second are told four times, with all their points', async () => {
  for (let step = 1; step <= 100; step += 1) {
    hearStep(step);
    clock.advance(10);
  }
  await news.close();
  expect(told.map(({ progress }) => progress?.step)).toEqual([25, 50, 75, 100]);
  expect(await pointsOf(db, 'j1', 1000)).toHaveLength(100);
});

test('the last words are written before it is closed, and nothing comes after', async () => {
  hearStep(1);
  await news.close();
  expect(await findJob(db, 'j1')).toMatchObject({ detail: 'training', progress: { step: 1 } });
  clock.advance(1000);
  expect(told).toHaveLength(1);
});

test('a process that repeats steps after a kill replaces their points', async () => {
  for (const step of [1, 2, 3, 2, 3, 4]) hearStep(step);
  await news.close();
  expect((await pointsOf(db, 'j1', 1000)).map(({ step }) => step)).toEqual([1, 2, 3, 4]);
});

test('what it says once the job is cancelled changes nothing of the job', async () => {
  await db.updateTable('jobs').set({ state: 'cancelled', detail: 'by me' }).where('id', '=', 'j1').execute();
  hearStep(9);
  await news.close();
  expect(await findJob(db, 'j1')).toMatchObject({ state: 'cancelled', detail: 'by me', progress: undefined });
});

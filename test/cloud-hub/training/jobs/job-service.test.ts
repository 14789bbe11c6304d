// Training jobs on a real database, registry and processes: what runs when, what survives which end, and what becomes of a result.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { JobService } from '@tidegate/cloud-hub/training/jobs/job-service.js';
import { findOrigin } from '@tidegate/cloud-hub/training/lineage/lineage-rows.js';
import { listAudit } from '@tidegate/cloud-hub/security/audit.js';
import { ContentError } from '@tidegate/shared/content/content-error.js';
import type { Job } from '@tidegate/shared/wire/training-api.js';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolders } from '../../../support/temporary-folder.js';
import { isAlive, openTrainingDesk, STUB_TRAINER, type TrainingDesk } from '../../../support/training-desk.js';

const folder = temporaryFolders('job-service');
/** Long enough to be stopped in the middle. */
const LONG = { maxSteps: 100_000, batchSize: 5 };
/** Slow enough to be ended in the middle; what goes on from a checkpoint is fast. */
const SLOW = { maxSteps: 400, batchSize: 20 };
let desk: TrainingDesk;
let jobs: () => JobService;

beforeAll(async () => {
  desk = await openTrainingDesk(folder());
  jobs = () => desk.training.jobs;
});
afterAll(() => desk.closing.run());

const step = (job: Job): number => job.progress?.step ?? 0;
const starts = (id: string): number[] =>
  fs
    .readFileSync(join(desk.folderOf(id), 'starts.txt'), 'utf8')
    .trim()
    .split('\n')
    .map(Number);

async function actionsOf(id: string): Promise<string[]> {
  const rows = await listAudit(desk.parts.db, { limit: 100, subject: `job:${id}` });
  return rows.map(({ action }) => action).reverse();
}

describe('a job that goes well', () => {
  test('becomes a version with its label, its origin and its evaluation, and leaves no folder', async () => {
    const { id } = await desk.create(1, { slices: ['slice'], label: 'better' });
    const job = await desk.reaches(id, 'succeeded', 'failed');
    expect(job).toMatchObject({
      state: 'succeeded',
      datasets: [{ spec: 'hard@1' }],
      slices: [{ spec: 'slice@1' }],
      evaluation: { passed: true },
      progress: { step: 3, steps: 3 },
      startedAt: expect.any(String),
      endedAt: expect.any(String),
    });
    const version = await desk.registry.registry.version('tiny', 'better');
    expect(version).toMatchObject({ version: job.version, state: 'ready', label: 'better' });
    expect(await findOrigin(desk.parts.db, 'tiny', job.version!)).toMatchObject({
      job: id,
      parent: 1,
      datasets: [{ spec: 'hard@1' }],
      evaluation: { passed: true },
      parameters: { seed: 1 },
    });
    expect(await findOrigin(desk.parts.db, 'tiny', 1)).toBeUndefined();
    expect(await jobs().points(id, 100)).toHaveLength(3);
    expect(await actionsOf(id)).toEqual(['train.create', 'train.start', 'train.succeeded']);
    const published = await listAudit(desk.parts.db, { limit: 100, subject: `tiny@${job.version}` });
    expect(published.find(({ action }) => action === 'model.publish')?.actor).toBe(`job:${id}`);
    await expect.poll(() => fs.existsSync(desk.folderOf(id))).toBe(false);
  });

  test('with nothing changed but the graph, the parent’s model.yaml stays as its author wrote it, without the label', async () => {
    const job = await desk.reaches((await desk.create(1)).id, 'succeeded');
    const [fp32] = await desk.registry.registry.variants('tiny', job.version!);
    const made = await desk.registry.registry.materialise(fp32!);
    const text = fs.readFileSync(join(made, 'model.yaml'), 'utf8');
    expect(text).toContain('licence: MIT # as its author says');
    expect(text).not.toContain('version');
  });
});

test('a job that makes what is a version already says so', async () => {
  const first = await desk.reaches((await desk.create(9)).id, 'succeeded');
  const again = await desk.reaches((await desk.create(9)).id, 'succeeded');
  expect(first.detail).toBeUndefined();
  expect(again).toMatchObject({
    version: first.version,
    detail: `the result is what tiny@${first.version} holds already`,
  });
  expect((await findOrigin(desk.parts.db, 'tiny', first.version!))?.job).toBe(first.id);
});

test('a full disk at the end of a job costs nothing but time', async () => {
  const { db } = desk.parts;
  const { id } = await desk.create(1, {}, { maxSteps: 80, batchSize: 20 });
  await desk.becomes(id, (job) => step(job) > 0);
  await sql`create trigger full before update of state on jobs begin select raise(abort, 'disk full'); end`.execute(db);
  const [pid] = starts(id);
  await expect.poll(() => isAlive(pid!), { timeout: 10_000 }).toBe(false);
  expect((await jobs().get(id))?.state).toBe('running');
  await sql`drop trigger full`.execute(db);
  await desk.reaches(id, 'succeeded');
});

test('a full disk while its result is taken in leaves no upload open', async () => {
  const { content, db } = desk.parts;
  const put = content.put.bind(content);
  let refused = 0;
  content.put = async () => {
    content.put = put;
    refused += 1;
    throw new ContentError('no-space', 'not enough space');
  };
  const { id } = await desk.create(1);
  await desk.reaches(id, 'succeeded');
  expect(refused).toBe(1);
  expect(await db.selectFrom('uploads').selectAll().where('version', 'is', null).execute()).toEqual([]);
});

test('its process gets what was asked for: graph, threads, memory, parameters, and the datasets by digest', async () => {
  const asked = { graph: 'm.onnx', threads: 3, memoryLimitBytes: 2 ** 27, slices: ['slice'] };
  const { id, datasets, slices } = await desk.create(1, asked, { ...LONG, freeze: ['fc1*'] });
  await desk.becomes(id, (job) => step(job) > 0);
  const order: unknown = JSON.parse(fs.readFileSync(join(desk.folderOf(id), 'order.json'), 'utf8'));
  expect(order).toMatchObject({
    job: id,
    graph: 'm.onnx',
    threads: 3,
    memoryLimitBytes: 2 ** 27,
    datasets,
    slices,
    parameters: { seed: 1, freeze: ['fc1*'] },
    contentFolder: desk.parts.paths.content,
  });
  await jobs().cancel(id, 'token:t');
});

describe('the queue', () => {
  test('runs one at a time, the larger priority first, then the older', async () => {
    const first = await desk.create(1, {}, LONG);
    await desk.becomes(first.id, (job) => step(job) > 0);
    const low = await desk.create(1, { priority: -5 });
    const same = await desk.create(1);
    const after = await desk.create(1);
    expect((await jobs().get(same.id))?.state).toBe('queued');
    await jobs().cancel(first.id, 'token:t');
    const ended = await Promise.all([low, same, after].map(({ id }) => desk.reaches(id, 'succeeded')));
    const started = ended.map(({ startedAt }) => Date.parse(startedAt!));
    expect(started[1]).toBeLessThanOrEqual(started[2]!);
    expect(started[2]).toBeLessThanOrEqual(started[0]!);
  });

  test('a larger priority takes the place of a smaller one, which goes on from its checkpoint afterwards', async () => {
    const small = await desk.create(1, {}, SLOW);
    await desk.becomes(small.id, (job) => step(job) >= 5);
    const large = await desk.create(1, { priority: 9 });
    const preempted = await desk.reaches(small.id, 'preempted');
    expect(preempted.detail).toMatch(/made room for another job; goes on from step \d+/);
    await desk.reaches(large.id, 'succeeded');
    const done = await desk.reaches(small.id, 'succeeded');
    expect(done.progress?.resumedFromStep).toBeGreaterThanOrEqual(5);
    expect(await actionsOf(small.id)).toEqual([
      'train.create',
      'train.start',
      'train.preempt',
      'train.resume',
      'train.succeeded',
    ]);
  });
});

test('as many run at once as the hub has places for', async () => {
  const wide = await openTrainingDesk(folder(), { trainingJobs: '2' });
  for (let at = 0; at < 3; at += 1) await wide.create(1, {}, LONG);
  const running = async (): Promise<Job[]> => wide.training.jobs.list({ limit: 10, state: 'running' });
  await expect.poll(async () => (await running()).length).toBe(2);
  await Promise.all((await running()).map(({ id }) => wide.becomes(id, (job) => step(job) > 0)));
  expect(await running()).toHaveLength(2);
  await wide.closing.run();
});

describe('cancelling', () => {
  test('at any moment of its start ends it: none goes on unseen', async () => {
    const created = await Promise.all(Array.from({ length: 6 }, () => desk.create(1, {}, LONG)));
    for (const [at, { id }] of created.entries()) {
      if (at > 0) await new Promise((resolve) => setTimeout(resolve, at));
      await jobs().cancel(id, 'token:t');
    }
    const after = await desk.create(1); // has the only place once all others have left it
    await desk.reaches(after.id, 'succeeded');
    for (const { id } of created) expect(await jobs().get(id)).toMatchObject({ state: 'cancelled' });
  });

  test('a queued job never starts, a running one is ended; both say by whom', async () => {
    const running = await desk.create(1, {}, LONG);
    const queued = await desk.create(1);
    await desk.becomes(running.id, (job) => step(job) > 0);
    const [pid] = starts(running.id);
    expect(await jobs().cancel(queued.id, 'token:t')).toMatchObject({
      state: 'cancelled',
      detail: 'cancelled by token:t',
    });
    expect(await jobs().cancel(running.id, 'token:t')).toMatchObject({ state: 'cancelled' });
    await expect.poll(() => isAlive(pid!)).toBe(false);
    await expect.poll(() => fs.existsSync(desk.folderOf(running.id))).toBe(false);
    expect(await jobs().get(queued.id)).not.toHaveProperty('startedAt');
    expect(await jobs().cancel(queued.id, 'token:t')).toMatchObject({ state: 'cancelled' });
  });

  test('one that has ended can’t be, and one that isn’t there is said to be unknown', async () => {
    const { id } = await desk.reaches((await desk.create(5)).id, 'failed');
    await expect(jobs().cancel(id, 'token:t')).rejects.toMatchObject({ code: 'conflict' });
    await expect(jobs().cancel('j0', 'token:t')).rejects.toMatchObject({ code: 'not-found', field: 'id' });
  });
});

describe('a process that ends', () => {
  test('by kill -9 is started again and goes on from its checkpoint', async () => {
    const { id } = await desk.create(1, {}, SLOW);
    await desk.becomes(id, (job) => step(job) >= 5);
    process.kill(starts(id)[0]!, 'SIGKILL');
    await desk.becomes(id, (job) => (job.progress?.resumedFromStep ?? 0) >= 5);
    expect(starts(id)).toHaveLength(2);
    await desk.reaches(id, 'succeeded');
    expect((await jobs().points(id, 1000)).map((point) => point.step)).toEqual(
      Array.from({ length: SLOW.maxSteps }, (_, at) => at + 1),
    );
  });

  test('over and over at the same place fails the job with the reason, and its folder is kept', async () => {
    const job = await desk.reaches((await desk.create(3)).id, 'failed');
    expect(job.detail).toBe('its process ended (signal SIGKILL), 4 times without getting further');
    expect(starts(job.id)).toHaveLength(4);
    expect(await actionsOf(job.id)).toEqual(['train.create', 'train.start', 'train.failed']);
  });

  test('with its last word fails the job with that word, at once', async () => {
    const job = await desk.reaches((await desk.create(5)).id, 'failed');
    expect(job.detail).toBe("sample sha256:ab: its label 'cat' is no class's number");
    expect(starts(job.id)).toHaveLength(1);
  });

  test('over its memory is ended', async () => {
    const job = await desk.reaches((await desk.create(7)).id, 'failed');
    expect(job.detail).toMatch(/^it holds 1048576 MiB of memory, its limit is 2048 MiB/);
  });

  test('takes with it what it had started', async () => {
    const { id } = await desk.create(8, {}, LONG);
    await desk.becomes(id, (job) => step(job) > 0);
    const child = Number(fs.readFileSync(join(desk.folderOf(id), 'child.txt'), 'utf8'));
    process.kill(starts(id)[0]!, 'SIGKILL');
    await expect.poll(() => isAlive(child)).toBe(false);
    await jobs().cancel(id, 'token:t');
  });
});

test('a result that is worse becomes a version for inspection, whose evaluation says what fell', async () => {
  const job = await desk.reaches((await desk.create(2)).id, 'succeeded');
  expect(job.evaluation).toMatchObject({ passed: false });
  expect(job.detail).toMatch(/^tiny@\d+ may not roll out: accuracy on what hard@1 holds out fell from 0\.8 to 0\.7/);
  expect((await findOrigin(desk.parts.db, 'tiny', job.version!))?.evaluation.passed).toBe(false);
});

describe('the end of the hub', () => {
  test('by SIGTERM ends every process, and the next start goes on from the checkpoint', async () => {
    const { id } = await desk.create(1, {}, SLOW);
    await desk.becomes(id, (job) => step(job) >= 5);
    const [pid] = starts(id);
    await jobs().close();
    expect(isAlive(pid!)).toBe(false);
    expect(await jobs().get(id)).toMatchObject({
      state: 'preempted',
      detail: expect.stringMatching(/^the hub was stopped; goes on from step \d+$/),
    });
    await desk.restart();
    const done = await desk.reaches(id, 'succeeded');
    expect(done.progress?.resumedFromStep).toBeGreaterThanOrEqual(5);
  });

  test('by kill -9 leaves a row that says `running`: what still works in its folder is ended, and the job goes on', async () => {
    const { id } = await desk.create(1, {}, SLOW);
    await desk.becomes(id, (job) => step(job) >= 5);
    await jobs().close();
    await desk.parts.db.updateTable('jobs').set({ state: 'running' }).where('id', '=', id).execute();
    const leftover = spawn(process.execPath, [STUB_TRAINER, desk.folderOf(id)], {
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const gone = once(leftover, 'exit');
    await once(leftover, 'message');
    fs.writeFileSync(join(desk.folderOf(id), 'process.pid'), String(leftover.pid));
    await desk.restart();
    expect(await gone).toEqual([null, 'SIGKILL']);
    const done = await desk.reaches(id, 'succeeded');
    expect(done.progress?.resumedFromStep).toBeGreaterThanOrEqual(5);
  });

  test('and a start on a full disk: the hub stands, and the job goes on once there is space', async () => {
    const { id } = await desk.create(1, {}, SLOW);
    await desk.becomes(id, (job) => step(job) >= 5);
    const { db } = desk.parts;
    await jobs().close();
    await db.updateTable('jobs').set({ state: 'running' }).where('id', '=', id).execute(); // as after kill -9
    await sql`create table ballast (bytes blob)`.execute(db);
    await sql`create trigger full before update on jobs begin insert into ballast values (zeroblob(1000000)); end`.execute(
      db,
    );
    const { rows } = await sql<{ page_count: number }>`pragma page_count`.execute(db);
    await sql.raw(`pragma max_page_count = ${rows[0]!.page_count}`).execute(db);
    await desk.restart();
    expect(await jobs().get(id)).toMatchObject({ state: 'running' });
    await sql`drop trigger full`.execute(db);
    await sql.raw('pragma max_page_count = 1000000').execute(db);
    await desk.becomes(
      id,
      ({ state, detail }) => state === 'preempted' && detail!.startsWith('the hub ended; goes on from'),
    );
    await desk.reaches(id, 'succeeded');
  });

  test('while a result is being published loses nothing: the next start publishes it, once', async () => {
    const before = (await desk.registry.registry.versions({ model: 'tiny', limit: 100 })).length;
    const { id } = await desk.create(1);
    await desk.reaches(id, 'publishing');
    await jobs().close();
    expect((await jobs().get(id))?.state).toMatch(/publishing|succeeded/);
    await desk.restart();
    const done = await desk.reaches(id, 'succeeded');
    expect((await findOrigin(desk.parts.db, 'tiny', done.version!))?.job).toBe(id);
    expect(await desk.registry.registry.versions({ model: 'tiny', limit: 100 })).toHaveLength(before + 1);
  });
});

// Training jobs and lineage over HTTP: who may, what a client gets, and which problem an error is. The service behind it is real.
import { pageOf } from '@tidegate/shared/wire/admin-api.js';
import { createJobSchema, jobPointSchema, jobSchema, lineageSchema } from '@tidegate/shared/wire/training-api.js';
import type { Scope } from '@tidegate/shared/wire/admin-api.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openApiProblems } from '../../support/openapi.js';
import { temporaryFolders } from '../../support/temporary-folder.js';
import { serveTraining, type TrainingApi } from '../../support/training-api.js';
import { openTrainingDesk, type TrainingDesk } from '../../support/training-desk.js';

const folder = temporaryFolders('job-routes');
const BODY = { model: 'tiny', parent: '1', datasets: ['hard'], parameters: { maxSteps: 3, batchSize: 2, seed: 1 } };
let desk: TrainingDesk;
let served: TrainingApi;

beforeAll(async () => {
  desk = await openTrainingDesk(folder());
  served = await serveTraining(desk);
});
afterAll(async () => {
  await served.close();
  await desk.closing.run();
});

const ask = (method: 'GET' | 'POST', url: string, token: Scope, payload?: object, headers: object = {}) =>
  served.api.inject({
    method,
    url,
    headers: { authorization: `Bearer ${token}`, ...headers },
    ...(payload === undefined ? {} : { payload }),
  });

test('publish creates and cancels, read reads, and neither does the other’s', async () => {
  expect((await ask('POST', '/api/v1/jobs', 'read', BODY)).statusCode).toBe(403);
  expect((await ask('POST', '/api/v1/jobs/j1/cancel', 'read')).statusCode).toBe(403);
  for (const path of ['/api/v1/jobs', '/api/v1/jobs/j1', '/api/v1/jobs/j1/points']) {
    expect((await ask('GET', path, 'publish')).statusCode).toBe(403);
  }
  expect((await ask('GET', '/api/v1/models/tiny/versions/1/lineage', 'infer')).statusCode).toBe(403);
});

test('a job from its request to its version, with its points and its lineage', async () => {
  const created = await ask('POST', '/api/v1/jobs', 'publish', BODY);
  expect(created.statusCode).toBe(201);
  const { id } = jobSchema.parse(created.json());
  await desk.reaches(id, 'succeeded');
  const job = jobSchema.parse((await ask('GET', `/api/v1/jobs/${id}`, 'read')).json());
  expect(job).toMatchObject({ state: 'succeeded', createdBy: 'token:publish', datasets: [{ spec: 'hard@2' }] });
  const points = pageOf(jobPointSchema).parse((await ask('GET', `/api/v1/jobs/${id}/points`, 'read')).json()).items;
  expect(points.map(({ step }) => step)).toEqual([1, 2, 3]);
  const thin = pageOf(jobPointSchema).parse((await ask('GET', `/api/v1/jobs/${id}/points?limit=2`, 'read')).json());
  expect(thin.items.map(({ step }) => step)).toEqual([1, 3]);
  const path = `/api/v1/models/tiny/versions/${job.version}/lineage`;
  const lineage = lineageSchema.parse((await ask('GET', path, 'read')).json());
  expect(lineage.nodes.map((node) => node.id)).toContain(`job:${id}`);
});

test('lists are newest first, by pages, by state and by model', async () => {
  const ids: string[] = [];
  for (const model of ['tiny', 'tiny', 'tiny']) ids.push((await desk.create(1, { model, priority: -1 })).id);
  const read = async (query: string) =>
    pageOf(jobSchema).parse((await ask('GET', `/api/v1/jobs?${query}`, 'read')).json());
  const first = await read('limit=2');
  expect(first.items.map(({ id }) => id)).toEqual([ids[2], ids[1]]);
  expect((await read(`limit=1&cursor=${first.nextCursor}`)).items.map(({ id }) => id)).toEqual([ids[0]]);
  expect((await read('model=nobody')).items).toEqual([]);
  for (const id of ids) await desk.training.jobs.cancel(id, 'token:t');
  expect((await read('state=cancelled')).items.map(({ id }) => id)).toEqual(ids.toReversed());
});

describe('an idempotency key', () => {
  const create = (key: string, body: object = BODY, token: Scope = 'publish') =>
    ask('POST', '/api/v1/jobs', token, body, { 'idempotency-key': key });
  const ids = async () => (await desk.training.jobs.list({ limit: 100 })).map(({ id }) => id);

  test('makes one job of a request that is sent again, also at the same time', async () => {
    const before = await ids();
    const both = await Promise.all([create('k 1'), create('k 1')]);
    expect(both.map(({ statusCode }) => statusCode).toSorted()).toEqual([200, 201]);
    const { id } = jobSchema.parse(both[0]!.json());
    expect(both[1]!.json()).toMatchObject({ id });
    const settled = await desk.reaches(id, 'succeeded');
    const again = await create('k 1');
    expect([again.statusCode, jobSchema.parse(again.json())]).toEqual([200, settled]);
    expect((await ids()).filter((one) => !before.includes(one))).toEqual([id]);
  });

  test('is its caller’s alone, and belongs to one request', async () => {
    const mine = jobSchema.parse((await create('k2')).json());
    const theirs = jobSchema.parse((await create('k2', BODY, 'admin')).json());
    expect(theirs.id).not.toBe(mine.id);
    const other = await create('k2', { ...BODY, priority: 1 });
    expect(other.json()).toMatchObject({
      status: 422,
      field: 'idempotency-key',
      detail: expect.stringContaining(mine.id),
    });
    for (const { id } of [mine, theirs]) await desk.reaches(id, 'succeeded');
  });

  test('of a request that was refused is free again', async () => {
    expect((await create('k3', { ...BODY, model: 'nobody' })).statusCode).toBe(404);
    const made = await create('k3');
    expect(made.statusCode).toBe(201);
    await desk.reaches(jobSchema.parse(made.json()).id, 'succeeded');
  });

  test.each([[''], ['x'.repeat(201)], ['\u00e4']])('%j is none', async (key) => {
    expect((await create(key)).json()).toMatchObject({ status: 400, field: 'idempotency-key' });
  });
});

describe('problems', () => {
  test.each([
    [{ ...BODY, model: 'nobody' }, 404, 'model'],
    [{ ...BODY, datasets: [] }, 400, 'datasets'],
    [{ ...BODY, datasets: ['Not A Name'] }, 400, 'datasets/0'],
    [{ ...BODY, datasets: ['soft@1'] }, 404, 'datasets/0'],
    [{ ...BODY, parameters: { learningRate: -1 } }, 400, 'parameters/learningRate'],
    [{ ...BODY, parameters: { freeze: ['no*'] } }, 422, 'parameters/freeze'],
    [{ ...BODY, label: '1.0' }, 409, 'label'],
    [{ ...BODY, hurry: true }, 400, 'hurry'],
  ])('%j is refused by its field', async (body, status, field) => {
    expect((await ask('POST', '/api/v1/jobs', 'publish', body)).json()).toMatchObject({ status, field });
  });

  test('a cursor of another list is refused, not an empty page', async () => {
    for (const cursor of ['', 'r1', '-1', 'hard']) {
      const answer = await ask('GET', `/api/v1/jobs?cursor=${cursor}`, 'read');
      expect(answer.json()).toMatchObject({ status: 400, field: 'cursor' });
    }
  });

  test('what isn’t there is 404 with its field', async () => {
    expect((await ask('GET', '/api/v1/jobs/j0', 'read')).json()).toMatchObject({ status: 404, field: 'id' });
    expect((await ask('GET', '/api/v1/jobs/j0/points', 'read')).json()).toMatchObject({ status: 404, field: 'id' });
    expect((await ask('POST', '/api/v1/jobs/j0/cancel', 'publish')).json()).toMatchObject({ status: 404 });
    const path = '/api/v1/models/tiny/versions/77/lineage';
    expect((await ask('GET', path, 'read')).json()).toMatchObject({ status: 404, field: 'version' });
  });
});

test('stands in the OpenAPI description, which holds together', async () => {
  const description = (await ask('GET', '/api/openapi.json', 'read')).json() as Record<string, unknown>;
  expect(openApiProblems(description)).toEqual([]);
  expect(Object.keys(description['paths'] as object)).toEqual(
    expect.arrayContaining([
      '/api/v1/jobs',
      '/api/v1/jobs/{id}',
      '/api/v1/jobs/{id}/points',
      '/api/v1/jobs/{id}/cancel',
      '/api/v1/models/{model}/versions/{version}/lineage',
    ]),
  );
  expect(createJobSchema.safeParse(BODY).success).toBe(true);
});

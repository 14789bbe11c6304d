// MLflow's API over HTTP against a whole hub: who may, errors in MLflow's form whatever goes wrong, and a good request after each.
// What its own client does with it is in test/interop.
import { readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { BARE_GRAPH, writeBarePackage } from '../../support/bare-package.js';
import { runTidegate } from '../../support/hub-process.js';
import { runHub, type RunningHub } from '../../support/running-hub.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('mlflow-routes');
const errorSchema = z.strictObject({ error_code: z.string(), message: z.string().min(5) });
let hub: RunningHub;
let tokens: Readonly<Record<string, string>>;

beforeAll(async () => {
  hub = await runHub(folder());
  const made = await Promise.all(
    ['read', 'publish', 'infer'].map(async (scope) => {
      const body = JSON.stringify({ name: scope, scopes: scope === 'publish' ? ['read', 'publish'] : [scope] });
      const answer = await fetch(`${hub.url}/api/v1/tokens`, { method: 'POST', headers: headers(hub.token), body });
      return [scope, z.object({ token: z.string() }).parse(await answer.json()).token] as const;
    }),
  );
  tokens = Object.fromEntries(made);
  await runTidegate(hub, ['model', 'publish', writeBarePackage(folder(), 'bare')]);
});
afterAll(() => hub.hub.drain());

function headers(token: string | undefined): Record<string, string> {
  return { 'content-type': 'application/json', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
}

interface Asked {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly headers: Headers;
}

async function ask(
  method: string,
  path: string,
  body?: unknown,
  token: string | undefined = hub.token,
): Promise<Asked> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const answer = await fetch(`${hub.url}${path}`, {
    method,
    headers: headers(token),
    ...(body === undefined ? {} : { body: text }),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown>, headers: answer.headers };
}

const post = (path: string, body: unknown, token?: string): Promise<Asked> =>
  ask('POST', `/api/2.0/mlflow${path}`, body, token);
const get = (path: string, token?: string): Promise<Asked> => ask('GET', `/api/2.0/mlflow${path}`, undefined, token);

async function stillGood(): Promise<string> {
  const { status, body } = await post('/runs/create', { experiment_id: '0' });
  expect(status).toBe(200);
  return z.object({ run: z.object({ info: z.object({ run_id: z.string() }) }) }).parse(body).run.info.run_id;
}

function refused({ status, body, headers: sent }: Asked, code: string, text: RegExp): number {
  expect(sent.get('content-type')).toMatch(/^application\/json/);
  expect(errorSchema.parse(body)).toEqual({ error_code: code, message: expect.stringMatching(text) });
  return status;
}

describe('who may', () => {
  const READS = [
    '/experiments/get?experiment_id=0',
    '/runs/get?run_id=x',
    '/registered-models/search',
    '/experiments/search',
  ];
  const WRITES = [
    '/experiments/create',
    '/runs/create',
    '/runs/log-metric',
    '/runs/log-batch',
    '/runs/set-tag',
    '/runs/delete',
  ];

  const all: (readonly [method: string, path: string])[] = [
    ...READS.map((path) => ['GET', path] as const),
    ...WRITES.map((path) => ['POST', path] as const),
    ['POST', '/model-versions/create'],
  ];
  test.each(all)('%s %s needs a token', async (method, path) => {
    const answer = await ask(method, `/api/2.0/mlflow${path}`, method === 'GET' ? undefined : {}, 'tgk_none');
    expect(refused(answer, 'UNAUTHENTICATED', /valid bearer token/)).toBe(401);
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
  });

  test('one that may read reads, and one that may publish logs', async () => {
    for (const path of WRITES)
      expect(refused(await post(path, {}, tokens['read']), 'PERMISSION_DENIED', /scope publish/)).toBe(403);
    for (const path of READS)
      expect(refused(await get(path, tokens['infer']), 'PERMISSION_DENIED', /scope read/)).toBe(403);
    expect((await get('/experiments/get?experiment_id=0', tokens['read'])).status).toBe(200);
    expect((await post('/runs/create', {}, tokens['publish'])).status).toBe(200);
    expect((await ask('GET', '/api/3.0/mlflow/server-info', undefined, tokens['infer'])).body).toMatchObject({
      workspaces_enabled: false,
    });
  });
});

describe('what goes wrong is said in MLflow’s form', () => {
  test.each([
    ['broken JSON', '{"run_id": ', 400, /JSON/],
    ['no body', '', 400, /body/i],
    ['another type', '[1]', 400, /object/],
    ['a field that is missing', { key: 'k' }, 400, /run_id/],
    ['a field of another type', { run_id: 5, key: 'k', value: 'v' }, 400, /run_id: /],
    ['a body that is too large', { run_id: 'x', key: 'k', value: 'x'.repeat(5_000_000) }, 413, /too large/],
  ])('%s', async (_, body, status, text) => {
    expect(refused(await post('/runs/log-parameter', body), 'INVALID_PARAMETER_VALUE', text)).toBe(status);
    await stillGood();
  });

  test('the place in a batch', async () => {
    const run_id = await stillGood();
    const metrics = [
      { key: 'a', value: 1, timestamp: 1 },
      { key: 'b', value: 'high', timestamp: 1 },
    ];
    expect(
      refused(await post('/runs/log-batch', { run_id, metrics }), 'INVALID_PARAMETER_VALUE', /^metrics\.1\.value: /),
    ).toBe(400);
  });

  test('paths that aren’t there, in each area', async () => {
    for (const path of [
      '/api/2.0/mlflow/traces/search',
      '/api/3.0/mlflow/traces',
      '/api/2.0/mlflow-artifacts/mpu/create/x',
    ]) {
      expect(refused(await ask('POST', path, {}), 'ENDPOINT_NOT_FOUND', /docs\/mlflow\.md/)).toBe(404);
    }
    expect((await ask('GET', '/api/v1/nothing')).headers.get('content-type')).toBe('application/problem+json');
  });

  test('the registry is read only, and it is said how a version is made', async () => {
    const calls = [
      ['POST', '/registered-models/create'],
      ['PATCH', '/registered-models/update'],
      ['DELETE', '/registered-models/delete'],
      ['POST', '/registered-models/alias'],
      ['DELETE', '/registered-models/alias'],
      ['POST', '/model-versions/create'],
      ['POST', '/model-versions/transition-stage'],
    ] as const;
    for (const [method, path] of calls) {
      expect(
        refused(
          await ask(method, `/api/2.0/mlflow${path}`, { name: 'bare' }),
          'NOT_IMPLEMENTED',
          /tidegate model publish/,
        ),
      ).toBe(501);
    }
  });
});

test('a run from its beginning to its end, by hand', async () => {
  const run_id = await stillGood();
  expect((await post('/runs/log-metric', { run_id, key: 'm', value: 1.5, timestamp: 7, step: 2 })).body).toEqual({});
  expect((await post('/runs/log-parameter', { run_id, key: 'p', value: 'v' })).status).toBe(200);
  expect((await post('/runs/set-tag', { run_id, key: 't', value: 'x' })).status).toBe(200);
  expect((await post('/runs/update', { run_id, status: 'FINISHED', end_time: 9 })).body).toMatchObject({
    run_info: { status: 'FINISHED' },
  });
  expect((await get(`/runs/get?run_id=${run_id}`)).body).toMatchObject({
    run: {
      info: { end_time: 9 },
      data: { metrics: [{ key: 'm', value: 1.5, timestamp: 7, step: 2 }], params: [{ key: 'p', value: 'v' }] },
    },
  });
  expect((await get(`/metrics/get-history?run_id=${run_id}&metric_key=m`)).body).toMatchObject({
    metrics: [{ value: 1.5 }],
  });
  expect((await get(`/artifacts/list?run_id=${run_id}`)).body).toEqual({
    root_uri: `mlflow-artifacts:/runs/0/${run_id}`,
    files: [],
  });
  const found = await post('/runs/search', { experiment_ids: ['0'], filter: `tags.t = 'x'` });
  expect(found.body).toMatchObject({ runs: [{ info: { run_id } }] });
});

describe('artifacts', () => {
  const artifact = (method: string, path: string, body?: Buffer): Promise<Response> =>
    fetch(`${hub.url}/api/2.0/mlflow-artifacts/artifacts${path}`, {
      method,
      headers: { authorization: `Bearer ${hub.token}`, 'content-type': 'application/octet-stream' },
      ...(body === undefined ? {} : { body: new Uint8Array(body) }),
    });

  test('a version’s files are read, whole', async () => {
    const { body } = await get('/model-versions/get-download-uri?name=bare&version=1');
    expect(body).toEqual({ artifact_uri: 'mlflow-artifacts:/models/bare/1' });
    const listed = await artifact('GET', '?path=models/bare/1');
    expect(await listed.json()).toMatchObject({ files: [{ path: 'm.onnx', is_dir: false }, { path: 'model.yaml' }] });
    const file = Buffer.from(await (await artifact('GET', '/models/bare/1/m.onnx')).arrayBuffer());
    const digest = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');
    expect(digest(file)).toBe(digest(readFileSync(BARE_GRAPH)));
    expect((await artifact('GET', '/models/bare/1/..%2f..%2fx')).status).toBe(404);
  });

  test('a run’s are refused after they were read, and the connection goes on', async () => {
    const answer = await artifact('PUT', '/runs/0/x/model.bin', Buffer.alloc(1 << 20));
    expect(answer.status).toBe(501);
    expect(errorSchema.parse(await answer.json())).toMatchObject({ error_code: 'NOT_IMPLEMENTED' });
    await stillGood();
  });
});

test('none of it stands in the hub’s OpenAPI document', async () => {
  const { body } = await ask('GET', '/api/openapi.json');
  const paths = Object.keys(body['paths'] as object);
  expect(paths.length).toBeGreaterThan(5);
  expect(paths.filter((path) => path.includes('mlflow'))).toEqual([]);
});

test('what was logged is there when the hub has started again', async () => {
  const run_id = await stillGood();
  await post('/runs/log-metric', { run_id, key: 'm', value: 1, timestamp: 7 });
  hub = await hub.restart();
  expect((await get(`/runs/get?run_id=${run_id}`)).body).toMatchObject({
    run: { data: { metrics: [{ key: 'm', value: 1 }] } },
  });
});

// Publishing over HTTP, with what strangers send: each bad thing gets a clear problem naming its field, and a good request after it
// still succeeds. The hub, its executors and its database are real.
import { readFileSync } from 'node:fs';
import { problemSchema, uploadSchema, versionSchema, type Version } from '@tidegate/shared/wire/admin-api.js';
import { hexOf, sha256 } from '@tidegate/shared/wire/digest.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BARE_GRAPH, bareYaml } from '../../support/bare-package.js';
import { runHub, type RunningHub } from '../../support/running-hub.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('model-routes');
const GRAPH = readFileSync(BARE_GRAPH);
let running: RunningHub;

beforeAll(async () => {
  running = await runHub(folder(), { maxPackageSize: '1MiB' });
});
afterAll(() => running.hub.drain());

type Files = Readonly<Record<string, Uint8Array | string>>;
const bytes = (data: Uint8Array | string): Buffer => Buffer.from(data as Uint8Array);

function entries(files: Files) {
  return Object.entries(files).map(([path, data]) => ({
    path,
    sizeBytes: bytes(data).byteLength,
    digest: sha256(bytes(data)),
  }));
}

async function call(
  method: string,
  path: string,
  body?: NonNullable<RequestInit['body']>,
  type = 'application/json',
): Promise<Response> {
  return fetch(`${running.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${running.token}`, ...(body === undefined ? {} : { 'content-type': type }) },
    ...(body === undefined ? {} : { body }),
  });
}

const create = (model: string, files: unknown): Promise<Response> =>
  call('POST', '/api/v1/uploads', JSON.stringify({ model, files }));
const piece = (id: string, data: Buffer, offset = 0, hex = hexOf(sha256(data))): Promise<Response> =>
  call('PUT', `/api/v1/uploads/${id}/files/${hex}?offset=${offset}`, new Uint8Array(data), 'application/octet-stream');

async function problem(response: Response): Promise<ReturnType<typeof problemSchema.parse>> {
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  return problemSchema.parse(await response.json());
}

async function upload(model: string, files: Files): Promise<string> {
  const { id } = uploadSchema.parse(await (await create(model, entries(files))).json());
  for (const data of Object.values(files)) expect((await piece(id, bytes(data))).status).toBe(200);
  return id;
}

async function publish(model: string, files: Files): Promise<Version> {
  const id = await upload(model, files);
  const answer = await call('POST', `/api/v1/uploads/${id}/complete`);
  expect(answer.status).toBe(202);
  let version = versionSchema.parse(await answer.json());
  await expect
    .poll(
      async () => {
        const path = `/api/v1/models/${model}/versions/${version.version}`;
        version = versionSchema.parse(await (await call('GET', path)).json());
        return version.state;
      },
      { timeout: 15_000, interval: 50 },
    )
    .toMatch(/ready|refused/);
  return version;
}

async function stillGood(name: string): Promise<void> {
  expect(await publish(name, { 'model.yaml': bareYaml(name), 'm.onnx': GRAPH })).toMatchObject({
    state: 'ready',
    version: 1,
  });
}

describe('uploads that can’t be', () => {
  test.each(['../evil', '/etc/passwd', 'a/../../b', 'a\\b', '', 'a//b', `${'x'.repeat(300)}`, 'nul\0'])(
    'the path %j is refused',
    async (path) => {
      const answer = await create('m', [{ path, sizeBytes: 1, digest: sha256('x') }]);
      expect(answer.status).toBe(400);
      expect(await problem(answer)).toMatchObject({ field: 'files/0/path' });
    },
  );

  test('a digest that is none, no files, an unknown field, a model’s name that is none', async () => {
    const bad = await create('m', [{ path: 'a', sizeBytes: 1, digest: 'sha256:zz' }]);
    expect(await problem(bad)).toMatchObject({ status: 400, field: 'files/0/digest' });
    expect(await problem(await create('m', []))).toMatchObject({ status: 400, field: 'files' });
    expect(await problem(await create('M!', entries({ a: 'x' })))).toMatchObject({ status: 400, field: 'model' });
    const extra = await call(
      'POST',
      '/api/v1/uploads',
      JSON.stringify({ model: 'm', files: entries({ a: 'x' }), force: true }),
    );
    expect(await problem(extra)).toMatchObject({ status: 400, field: 'force' });
  });

  test('a package that is too large is refused before its first byte', async () => {
    const answer = await create('m', [{ path: 'a', sizeBytes: 1024 ** 2 + 1, digest: sha256('x') }]);
    expect(await problem(answer)).toMatchObject({ status: 413, field: 'files' });
  });
});

describe('pieces that can’t be', () => {
  test('other bytes, a wrong offset, surplus, a foreign file, another media type; then the right ones', async () => {
    const data = Buffer.from(bareYaml('pieces'));
    const { id } = uploadSchema.parse(
      await (await create('pieces', entries({ 'model.yaml': data, 'm.onnx': GRAPH }))).json(),
    );
    const hex = hexOf(sha256(data));
    const tampered = Buffer.from(data);
    tampered[3] = (tampered[3] ?? 0) ^ 1;
    expect(await problem(await piece(id, tampered, 0, hex))).toMatchObject({ status: 422, field: 'files/model.yaml' });
    expect(await problem(await piece(id, data, 7))).toMatchObject({ status: 409, field: 'offset' });
    expect(await problem(await piece(id, Buffer.concat([data, data]), 0, hex))).toMatchObject({
      status: 422,
      field: 'files/model.yaml',
    });
    expect(await problem(await piece(id, Buffer.from('foreign')))).toMatchObject({ status: 404, field: 'hex' });
    expect(await problem(await piece(id, data, 0, 'short'))).toMatchObject({ status: 400, field: 'hex' });
    expect(await problem(await call('PUT', `/api/v1/uploads/${id}/files/${hex}`, 'text', 'text/plain'))).toMatchObject({
      status: 415,
    });
    expect(await problem(await piece('nope', data))).toMatchObject({ status: 404, field: 'id' });

    const half = await piece(id, data.subarray(0, 10), 0, hex);
    expect(await half.json()).toEqual({ receivedBytes: 10, complete: false });
    expect(await problem(await call('POST', `/api/v1/uploads/${id}/complete`))).toMatchObject({
      status: 409,
      field: expect.stringMatching(/^files\//),
    });
    expect((await piece(id, data.subarray(10), 10, hex)).status).toBe(200);
    expect((await piece(id, GRAPH)).status).toBe(200);
    expect((await call('POST', `/api/v1/uploads/${id}/complete`)).status).toBe(202);
  });
});

describe('packages that are refused at once', () => {
  test.each([
    ['broken YAML', { 'model.yaml': 'name: [', 'm.onnx': 'x' }, 'model.yaml'],
    [
      'an unknown licence',
      { 'model.yaml': bareYaml('bad', { licence: 'unknown' }), 'm.onnx': 'x' },
      'model.yaml#licence',
    ],
    ['no model.yaml', { 'm.onnx': 'x' }, 'model.yaml'],
    [
      'an unknown metric',
      {
        'model.yaml': bareYaml('bad', { goldens: '{ file: g, output: y, metric: guess, threshold: 1 }' }),
        g: '[]',
        'm.onnx': 'x',
      },
      'model.yaml#goldens.metric',
    ],
  ])('%s', async (_what, files, field) => {
    const id = await upload('bad', files as Files);
    const answer = await call('POST', `/api/v1/uploads/${id}/complete`);
    expect(await problem(answer)).toMatchObject({ status: 422, field });
    expect((await call('GET', '/api/v1/models/bad')).status).toBe(404);
  });
});

describe('packages that are refused with the reason once looked into', () => {
  const cut = GRAPH.subarray(0, GRAPH.byteLength - 20);
  test.each([
    ['no ONNX at all', { 'm.onnx': 'this is no model' }, {}, /m\.onnx/],
    ['a truncated ONNX', { 'm.onnx': cut }, {}, /m\.onnx/],
    ['an empty ONNX', { 'm.onnx': '' }, {}, /m\.onnx/],
    [
      'another input than the graph has',
      { 'm.onnx': GRAPH },
      { pipeline: '[{ graph: m.onnx, inputs: { pixels: x } }]' },
      /pixels/,
    ],
    [
      'a step that is none',
      { 'm.onnx': GRAPH },
      { pipeline: '[{ step: dream, inputs: [x], outputs: [z] }, { graph: m.onnx }]' },
      /dream/,
    ],
    [
      'goldens that are no JSON',
      { 'm.onnx': GRAPH, 'g.json': '[' },
      { goldens: '{ file: g.json, output: y, metric: max-abs-error, threshold: 0.1 }' },
      /g\.json/,
    ],
    [
      'goldens that fail',
      {
        'm.onnx': GRAPH,
        'g.json': JSON.stringify([
          { id: 'a', inputs: { x: { datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] } }, expected: [9, 9, 9, 9] },
        ]),
      },
      { goldens: '{ file: g.json, output: y, metric: max-abs-error, threshold: 0.1 }' },
      /goldens fail.*max-abs-error/,
    ],
  ] as [string, Files, Record<string, string>, RegExp][])('%s', async (what, files, fields, reason) => {
    const name = what.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
    const version = await publish(name, { 'model.yaml': bareYaml(name, fields), ...files });
    expect(version.state).toBe('refused');
    expect(version.detail).toMatch(reason);
    expect((await call('GET', `/v2/models/${name}`)).status).toBe(404);
  });

  test('and good ones after them are taken', () => stillGood('good'));
});

describe('reading', () => {
  test('models and versions by pages; by number, label and digest', async () => {
    await publish('reader', { 'model.yaml': bareYaml('reader', { version: 'first' }), 'm.onnx': GRAPH });
    await publish('reader', { 'model.yaml': bareYaml('reader', { version: 'second' }), 'm.onnx': GRAPH });
    const page = async (path: string) =>
      (await call('GET', path)).json() as Promise<{ items: { version: number }[]; nextCursor?: string }>;
    const newest = await page('/api/v1/models/reader/versions?limit=1');
    expect(newest).toMatchObject({ items: [{ version: 2, label: 'second' }], nextCursor: '2' });
    const older = await page(`/api/v1/models/reader/versions?limit=1&cursor=${newest.nextCursor}`);
    expect(older.items.map((v) => v.version)).toEqual([1]);
    const get = async (spec: string) => call('GET', `/api/v1/models/reader/versions/${spec}`);
    const second = versionSchema.parse(await (await get('second')).json());
    expect(second.version).toBe(2);
    expect(await (await get(hexOf(second.digest).slice(0, 12))).json()).toMatchObject({ version: 2 });
    expect(await (await get('latest')).json()).toMatchObject({ version: 2 });
    expect(await problem(await get('3'))).toMatchObject({ status: 404, field: 'version' });
    expect(await problem(await call('GET', '/api/v1/models?limit=0'))).toMatchObject({ status: 400, field: 'limit' });
    expect(await problem(await call('GET', '/api/v1/models/reader/versions?cursor=x'))).toMatchObject({
      status: 400,
      field: 'cursor',
    });
  });
});

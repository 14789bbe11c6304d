// Datasets over HTTP, against a whole hub with a small real model: from a picture-less import to the manifest and the shards of a frozen
// version, what it costs to read it, and what strangers get wrong.
import { problemSchema } from '@tidegate/shared/wire/admin-api.js';
import { pageOf } from '@tidegate/shared/wire/admin-api.js';
import {
  datasetDiffSchema,
  datasetItemSchema,
  datasetManifestSchema,
  datasetReadSchema,
  datasetVersionSchema,
  importTargetSchema,
} from '@tidegate/shared/wire/data-api.js';
import { sha256, type Digest } from '@tidegate/shared/wire/digest.js';
import { encodeSample, sampleId } from '@tidegate/shared/wire/sample.js';
import { encodeFrames } from '@tidegate/shared/wire/sample-frames.js';
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openForPublish, follow, publish } from '@tidegate/cloud-hub/cli/publish.js';
import { writeBarePackage } from '../../support/bare-package.js';
import { openApiProblems } from '../../support/openapi.js';
import { runHub, type RunningHub } from '../../support/running-hub.js';
import { silentStreams } from '../../support/silent-streams.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('dataset-routes');
let running: RunningHub;

beforeAll(async () => {
  running = await runHub(folder());
  const pack = await openForPublish(writeBarePackage(folder(), 'bare'));
  const started = await publish(running.client, pack, { allowUnknownLicence: false }, silentStreams);
  await follow(running.client, started, silentStreams);
});
afterAll(() => running.hub.drain());

const bodyOf = (seed: number): Uint8Array =>
  encodeSample({
    facts: { model: 'bare', capturedAtMs: 0, reason: 'import' },
    inputs: [tensor('x', 'FP32', [1, 4], bytesOf(Float32Array.of(seed, 0, 0, 1)))],
    outputs: [],
  });

async function call(method: string, path: string, body?: unknown): Promise<Response> {
  const binary = body instanceof Uint8Array;
  const type = binary ? 'application/octet-stream' : 'application/json';
  return fetch(`${running.url}/api/v1/datasets${path}`, {
    method,
    headers: { authorization: `Bearer ${running.token}`, ...(body === undefined ? {} : { 'content-type': type }) },
    ...(body === undefined ? {} : { body: binary ? new Uint8Array(body) : JSON.stringify(body) }),
  });
}
const get = async (path: string): Promise<unknown> => (await call('GET', path)).json();
const send = (name: string, ...frames: [Uint8Array, string][]): Promise<Response> =>
  call('POST', `/${name}/import/samples`, encodeFrames(frames.map(([body, label]) => ({ body, label }))));

async function importInto(name: string, labels: readonly string[], heldOut = 0): Promise<Response> {
  const items: { id: Digest; label: string }[] = [];
  for (const [seed, label] of labels.entries()) items.push({ id: sampleId(bodyOf(seed)), label });
  expect((await send(name, ...labels.map((label, seed): [Uint8Array, string] => [bodyOf(seed), label]))).status).toBe(
    200,
  );
  return call('POST', `/${name}/import`, { model: 'bare', heldOut, items });
}
async function problem(response: Response, status: number, field: string): Promise<string | undefined> {
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  const parsed = problemSchema.parse(await response.json());
  expect([response.status, parsed.field]).toEqual([status, field]);
  return parsed.detail;
}

describe('an import', () => {
  test('asks what the model takes and what is missing, sends, freezes once, and again finds it', async () => {
    const target = importTargetSchema.parse(await get('/small/import?model=bare'));
    expect(target).toEqual({ model: 'bare', version: 1, inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }] });
    const ids = [0, 1, 2].map((seed) => sampleId(bodyOf(seed)));
    const question = { model: 'bare', labels: ['0', '1'], ids };
    expect(await (await call('POST', '/small/import/missing', question)).json()).toEqual({ missing: ids });
    const made = await importInto('small', ['0', '1', '1']);
    expect(made.status).toBe(201);
    const version = datasetVersionSchema.parse(await made.json());
    expect(version).toMatchObject({ name: 'small', version: 1, count: 3, labels: { 0: 1, 1: 2 } });
    expect(await (await call('POST', '/small/import/missing', question)).json()).toEqual({ missing: [] });
    const again = await importInto('small', ['0', '1', '1']);
    expect([again.status, await again.json()]).toEqual([200, version]);
    const list = pageOf(datasetVersionSchema).parse(await get(''));
    expect(list.items).toContainEqual(version);
  });

  test('gets what is wrong with its field', async () => {
    await problem(await call('GET', '/small/import?model=none'), 404, 'model');
    await problem(await send('small', [bodyOf(9), '1'], [Buffer.from('none'), '1']), 400, 'header');
    await problem(await send('small', [bodyOf(9), '']), 400, 'label');
    await problem(await send('Small', [bodyOf(9), '1']), 400, 'name');
    await problem(await call('POST', '/small/import/samples', Buffer.from('no frames')), 400, 'body');
    const unknown = { model: 'bare', items: [{ id: sha256('x'), label: '1' }] };
    await problem(await call('POST', '/small/import', unknown), 404, 'items');
    await problem(await call('POST', '/small/import', { model: 'bare', items: [] }), 400, 'items');
    expect((await call('POST', '/small/import/samples', new Uint8Array(17 * 1024 * 1024))).status).toBe(413);
    expect((await get('/small/versions')) as object).toMatchObject({ items: [{ version: 1 }] });
  });
});

describe('a version', () => {
  test('is frozen from a query, listed, paged, compared and handed out under its digests', async () => {
    await importInto('base', ['0', '1', '2', '3']);
    const made = await call('POST', '', { name: 'low', from: 'model=bare and (label=0 or label=1)', heldOut: 0.5 });
    const version = datasetVersionSchema.parse(await made.json());
    expect([made.status, version.count]).toEqual([201, 2]);
    expect(
      (await call('POST', '', { name: 'low', from: 'model=bare and (label=0 or label=1)', heldOut: 0.5 })).status,
    ).toBe(200);
    const wider = datasetVersionSchema.parse(
      await (await call('POST', '', { name: 'low', from: 'model=bare' })).json(),
    );
    expect([wider.version, wider.count, wider.heldOut]).toEqual([2, 4, 0.2]);
    const versions = pageOf(datasetVersionSchema).parse(await get('/low/versions?limit=1'));
    expect(versions).toMatchObject({ items: [{ version: 2 }], nextCursor: '2' });
    expect(await get('/low/versions?limit=1&cursor=2')).toMatchObject({ items: [{ version: 1 }] });
    expect(await get('/low/versions/latest')).toEqual(wider);
    const diff = datasetDiffSchema.parse(await get('/low/diff?from=1'));
    expect([diff.from, diff.to, diff.added.length, diff.removed]).toEqual(['low@1', 'low@2', 2, []]);

    const manifestBytes = Buffer.from(await (await call('GET', '/low/versions/2/manifest')).arrayBuffer());
    expect(sha256(manifestBytes)).toBe(wider.digest);
    const manifest = datasetManifestSchema.parse(JSON.parse(manifestBytes.toString()));
    const items: unknown[] = [];
    for (let cursor = ''; ;) {
      const page = pageOf(datasetItemSchema).parse(await get(`/low/versions/2/items?limit=3${cursor}`));
      items.push(...page.items);
      if (page.nextCursor === undefined) break;
      cursor = `&cursor=${page.nextCursor}`;
    }
    expect(items).toEqual(manifest.items);
    const answer = await call('GET', '/low/versions/2/shards/0');
    const shard = Buffer.from(await answer.arrayBuffer());
    expect(sha256(shard)).toBe(manifest.shards[0]!.digest);
    expect(Number(answer.headers.get('content-length'))).toBe(shard.byteLength);
    for (const { id, offsetBytes, sizeBytes } of manifest.items) {
      expect(sha256(shard.subarray(offsetBytes, offsetBytes + sizeBytes))).toBe(id);
    }
  });

  test('is read through once by the model’s own steps, and what would end a job is said', async () => {
    await importInto('read', ['0', '1', '2', '3', '0.5']);
    const figures = datasetReadSchema.parse(await (await call('POST', '/read/versions/1/read?loss=mse')).json());
    expect(figures).toMatchObject({ dataset: 'read@1', package: 'bare@1', samples: 5, bytes: 5 * 16 });
    expect(figures.samplesPerSecond).toBeGreaterThan(0);
    expect(figures.waitShare).toBeGreaterThan(0);
    expect(await problem(await call('POST', '/read/versions/1/read'), 400, 'label')).toContain("'0.5' is no class");
    await problem(await call('POST', '/read/versions/1/read?loss=mse&graph=none.onnx'), 400, 'graph');
    await problem(await call('POST', '/read/versions/9/read'), 404, 'version');
  });

  test('that there isn’t, and queries that can’t be, name their field', async () => {
    for (const [path, field, status] of [
      ['/none/versions', 'name', 404],
      ['/low/versions/7', 'version', 404],
      ['/low/versions/7/items', 'version', 404],
      ['/low/versions/1/shards/9', 'shard', 404],
      ['/low/versions/first', 'version', 400],
      ['/low/diff', 'from', 400],
      ['/low/versions/1/items?cursor=x', 'cursor', 400],
      ['/low/versions/1/shards/%20', 'shard', 400],
      ['/low/versions/1/shards/0x0', 'shard', 400],
      ['?cursor=-1', 'cursor', 400],
    ] as const) {
      await problem(await call('GET', path), status, field);
    }
    await problem(await call('POST', '', { name: 'low', from: 'model=' }), 400, 'from');
    await problem(await call('POST', '', { name: 'low', from: 'model=bare', heldOut: 2 }), 400, 'heldOut');
    await problem(await call('POST', '', { name: 'Bad Name', from: 'model=bare' }), 400, 'name');
  });

  test('survives a restart of the hub', async () => {
    const before = await get('/low/versions/2');
    running = await running.restart();
    expect(await get('/low/versions/2')).toEqual(before);
    expect(await get('/low/diff?from=1&to=2')).toMatchObject({ relabelled: [] });
  });
});

test('a token needs the scope: reading is not freezing', async () => {
  const created = await fetch(`${running.url}/api/v1/tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${running.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'reader', scopes: ['read'] }),
  });
  const { token } = (await created.json()) as { token: string };
  const as = (method: string, path: string): Promise<Response> =>
    fetch(`${running.url}/api/v1/datasets${path}`, { method, headers: { authorization: `Bearer ${token}` } });
  expect((await as('GET', '/low/versions')).status).toBe(200);
  for (const [method, path] of [
    ['POST', ''],
    ['POST', '/low/import'],
    ['POST', '/low/import/missing'],
    ['POST', '/low/import/samples'],
    ['POST', '/low/versions/1/read'],
  ] as const) {
    expect((await as(method, path)).status).toBe(403);
  }
});

test('all of it is in the documentation, which holds together', async () => {
  const document = (await (await fetch(`${running.url}/api/openapi.json`)).json()) as {
    paths: Record<string, unknown>;
  };
  expect(openApiProblems(document)).toEqual([]);
  expect(Object.keys(document.paths).filter((path) => path.startsWith('/api/v1/datasets')).length).toBe(11);
});

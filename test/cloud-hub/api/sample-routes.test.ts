// Samples over HTTP on a whole hub, with a real model and a device that sends: found, seen, judged, proposed, deleted, and who may.
import { sampleSchema, type SampleView } from '@tidegate/shared/wire/data-api.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';
import { liveEventSchema, type LiveEvent } from '@tidegate/shared/wire/admin-api.js';
import { z } from 'zod';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { runHubWithSamples, type HubWithSamples } from '../../support/hub-with-samples.js';
import { openApiProblems } from '../../support/openapi.js';
import { pngOf } from '../../support/png-bomb.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('sample-routes');
const ANT = [9, 0, 0, 0] as const;
const DOG = [0, 0, 0, 9] as const;
let hub: HubWithSamples;
let reader: string;
let seed = 0;

beforeAll(async () => {
  hub = await runHubWithSamples(folder);
  const created = z.object({ token: z.string() });
  ({ token: reader } = await hub.running.client.post('/api/v1/tokens', { name: 'r', scopes: ['read'] }, created));
});
afterAll(() => hub.close());

async function ask(method: string, path: string, body?: unknown, token = hub.running.token) {
  const answer = await fetch(`${hub.running.url}/api/v1/samples${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const bytes = Buffer.from(await answer.arrayBuffer());
  const isJson = answer.headers.get('content-type')?.includes('json') === true;
  return {
    status: answer.status,
    headers: answer.headers,
    bytes,
    json: isJson ? (JSON.parse(bytes.toString()) as never) : undefined,
  };
}

/** A sample like no other. */
async function send(values: readonly number[] = ANT): Promise<string> {
  seed += 1;
  const { hex, status } = await hub.send(values, { capturedAtMs: 1_000_000 + seed });
  expect(status).toBe(201);
  return hex;
}
const list = async (where: string, more = ''): Promise<{ items: SampleView[]; nextCursor?: string }> => {
  const { status, json } = await ask('GET', `?where=${encodeURIComponent(where)}${more}`);
  expect(status).toBe(200);
  return json as never;
};

describe('a sample from a device', () => {
  test('is listed, found by conditions, and read with its lineage', async () => {
    const hex = await send();
    const { status, json } = await ask('GET', `/${hex}`);
    expect([status, sampleSchema.parse(json)]).toMatchObject([
      200,
      { id: `sha256:${hex}`, model: 'things', version: 1, deviceName: 'cam-1', answer: 'bee', state: 'new' },
    ]);
    for (const where of [`id=${hex}`, `id=${hex.slice(0, 20)}*`, 'device=cam-1 and group=shelf', 'confidence=0.25']) {
      expect((await list(where)).items.map(({ id }) => id)).toContain(`sha256:${hex}`);
    }
    expect((await list('group=other')).items).toEqual([]);
    expect((await ask('GET', '?where=')).status).toBe(200);
  });

  test('gives its inputs as raw bytes, which a browser never runs', async () => {
    const hex = await send(DOG);
    const { status, bytes, headers } = await ask('GET', `/${hex}/inputs/x`);
    expect([status, [...new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 16))]]).toEqual([
      200,
      DOG,
    ]);
    expect(headers.get('content-type')).toBe('application/octet-stream');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('content-security-policy')).toContain('sandbox');
    expect(await ask('GET', `/${hex}/inputs/y`)).toMatchObject({ status: 404, json: { field: 'name' } });
  });

  test('has a picture where an input is one', async () => {
    const png = new Uint8Array(pngOf(4, 4));
    const encoded = tensor('picture', 'BYTES', [1], encodeBytes([png]));
    const { hex } = await hub.send(ANT, {}, [encoded]);
    const picture = await ask('GET', `/${hex}/picture`);
    expect([picture.status, picture.headers.get('content-type')]).toEqual([200, 'image/png']);
    expect(Buffer.compare(picture.bytes, png)).toBe(0);
    expect(await ask('GET', `/${await send()}/picture`)).toMatchObject({ status: 404 });
  });
});

test('pages go back in time without loss while samples arrive', async () => {
  const sent = new Set<string>();
  for (let i = 0; i < 7; i += 1) sent.add(`sha256:${await send([3, i, 0, 0])}`);
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const more: string = `&limit=2${cursor === undefined ? '' : `&cursor=${cursor}`}`;
    const page = await list('model=things', more);
    seen.push(...page.items.map(({ id }) => id));
    cursor = page.nextCursor;
    await send([4, seen.length, 0, 0]);
  } while (cursor !== undefined);
  expect(new Set(seen).size).toBe(seen.length);
  expect([...sent].filter((id) => !seen.includes(id))).toEqual([]);
});

describe('judging', () => {
  test('labels, rejects and reopens, and it is told live and audited', async () => {
    const hex = await send();
    const socket = new WebSocket(`${hub.running.url.replace('http', 'ws')}/api/v1/live`, [
      'tidegate.live.v1',
      `tidegate.token.${hub.running.token}`,
    ]);
    const events: LiveEvent[] = [];
    socket.on('message', (data) => events.push(liveEventSchema.parse(JSON.parse(String(data)))));
    await new Promise((resolve) => socket.once('open', resolve));
    expect(await ask('PUT', `/${hex}/label`, { label: 'cat' })).toMatchObject({
      status: 200,
      json: { state: 'labelled', label: 'cat', labelSource: 'person' },
    });
    expect(await ask('POST', `/${hex}/reject`)).toMatchObject({ status: 200, json: { state: 'rejected' } });
    expect(await ask('POST', `/${hex}/reopen`)).toMatchObject({ json: { state: 'labelled', label: 'cat' } });
    expect(await ask('POST', `/${hex}/reopen`)).toMatchObject({ json: { state: 'new' } });
    const states = () => events.flatMap((event) => (event.kind === 'sample' ? [event.sample.state] : []));
    await expect.poll(states).toEqual(['labelled', 'rejected', 'labelled', 'new']);
    socket.close();
    const audit = await hub.running.client.get(
      `/api/v1/audit?subject=sha256:${hex}`,
      z.object({ items: z.array(z.object({ actor: z.string(), action: z.string() })) }),
    );
    expect(audit.items.map(({ actor, action }) => `${actor} ${action}`)).toEqual([
      'token:admin sample.reopen',
      'token:admin sample.reopen',
      'token:admin sample.reject',
      'token:admin sample.label',
    ]);
  });

  test('takes only a class of the model, and lists them', async () => {
    const hex = await send();
    expect(await ask('PUT', `/${hex}/label`, { label: 'cow' })).toMatchObject({
      status: 400,
      json: { field: 'label', detail: 'label: "cow" is no class of things: ant, bee, cat, dog' },
    });
  });

  test('by two at once leaves one of both', async () => {
    const hex = await send();
    const answers = await Promise.all(['ant', 'bee', 'cat'].map((label) => ask('PUT', `/${hex}/label`, { label })));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(['ant', 'bee', 'cat']).toContain((await list(`id=${hex}`)).items[0]?.label);
  });

  test.each([
    ['PUT', '/HEX/label', { label: '' }, 400, 'label'],
    ['PUT', '/HEX/label', {}, 400, 'label'],
    ['PUT', '/HEX/label', { label: 'ant', sure: true }, 400, 'sure'],
    ['PUT', '/HEX/label', { label: 'x'.repeat(1001) }, 400, 'label'],
    ['POST', '/HEX/accept', undefined, 409, undefined],
    ['GET', '/latest', undefined, 400, 'hex'],
    ['GET', `/${'A'.repeat(64)}`, undefined, 400, 'hex'],
    ['GET', `/${'a'.repeat(64)}`, undefined, 404, 'id'],
    ['POST', `/${'a'.repeat(64)}/propose`, undefined, 404, 'id'],
    ['DELETE', `/${'a'.repeat(64)}`, undefined, 404, 'id'],
    ['GET', '?where=colour%3Dred', undefined, 400, 'where'],
    ['GET', '?limit=0', undefined, 400, 'limit'],
    ['GET', '?cursor=x', undefined, 400, 'cursor'],
    ['GET', '/summary?where=(', undefined, 400, 'where'],
    ['POST', '/propose?where=x', undefined, 400, 'where'],
  ])('%s %s %j is %i and names the field', async (method, path, body, status, field) => {
    const hex = await send();
    const answer = await ask(method, path.replace('HEX', hex), body);
    expect(answer).toMatchObject({ status, json: { status, ...(field === undefined ? {} : { field }) } });
  });

  test('says at which place of the conditions something is wrong', async () => {
    const { json } = await ask('GET', `?where=${encodeURIComponent('model=things and confidence<high')}`);
    expect(json).toMatchObject({ detail: expect.stringContaining('where, at 29: expected a number from 0 to 1') });
  });
});

describe('the hub’s model', () => {
  test('proposes a label, which counts once it is accepted', async () => {
    const hex = await send(DOG);
    const proposed = await ask('POST', `/${hex}/propose`);
    expect(proposed).toMatchObject({ status: 200, json: { state: 'new', proposal: { label: 'dog', version: 1 } } });
    expect((proposed.json as unknown as SampleView).proposal?.confidence).toBeGreaterThan(0.9);
    expect(await ask('POST', `/${hex}/propose`)).toMatchObject({ status: 200, json: proposed.json });
    expect(await ask('POST', `/${hex}/accept`)).toMatchObject({
      json: { state: 'labelled', label: 'dog', labelSource: 'hub-model' },
    });
  });

  test('is asked for many, and says which of them it doesn’t take', async () => {
    const odd = tensor('z', 'FP32', [1], new Uint8Array(4)); // the model has no such input
    const { hex } = await hub.send([1, 1, 1, 1], { capturedAtMs: 5 }, [odd]);
    const where = encodeURIComponent('model=things and state=new');
    const done = await ask('POST', `/propose?where=${where}&limit=500`);
    expect(done).toMatchObject({
      status: 200,
      json: {
        more: false,
        failures: expect.arrayContaining([{ id: `sha256:${hex}`, reason: expect.stringContaining('z') }]),
      },
    });
    const left = (await list('model=things and state=new', '&limit=500')).items.filter(
      ({ proposal }) => proposal === undefined,
    );
    expect(left.length).toBe((done.json as unknown as { failed: number }).failed);
  });
});

test('the summary counts what the conditions pick', async () => {
  const hex = await send();
  await ask('PUT', `/${hex}/label`, { label: 'bee' });
  expect(await ask('GET', `/summary?where=id%3D${hex}`)).toMatchObject({
    status: 200,
    json: {
      count: 1,
      states: { labelled: 1 },
      reasons: { 'low-confidence': 1 },
      models: { things: 1 },
      labels: { bee: 1 },
    },
  });
});

test('a deleted sample is gone, and may come again', async () => {
  seed += 1;
  const facts = { capturedAtMs: 1_000_000 + seed };
  const { hex } = await hub.send(ANT, facts);
  expect((await ask('DELETE', `/${hex}`)).status).toBe(204);
  expect((await ask('GET', `/${hex}`)).status).toBe(404);
  expect((await ask('GET', `/${hex}/inputs/x`)).status).toBe(404);
  expect(await hub.send(ANT, facts)).toEqual({ hex, status: 201 });
  expect((await ask('GET', `/${hex}/inputs/x`)).status).toBe(200);
});

test('reading needs the scope read, changing needs operate', async () => {
  const hex = await send();
  expect((await ask('GET', `/${hex}`, undefined, reader)).status).toBe(200);
  expect((await ask('GET', '', undefined, 'nobody')).status).toBe(401);
  for (const [method, path, body] of [
    ['PUT', 'label', { label: 'ant' }],
    ['POST', 'reject', undefined],
    ['POST', 'reopen', undefined],
    ['POST', 'propose', undefined],
    ['POST', 'accept', undefined],
  ] as const) {
    expect((await ask(method, `/${hex}/${path}`, body, reader)).status).toBe(403);
  }
  expect((await ask('DELETE', `/${hex}`, undefined, reader)).status).toBe(403);
  expect((await ask('POST', '/propose', undefined, reader)).status).toBe(403);
  expect(await ask('GET', `/${hex}`)).toMatchObject({ json: { state: 'new' } });
});

test('the routes are in the OpenAPI document, which holds together', async () => {
  const document = (await (await fetch(`${hub.running.url}/api/openapi.json`)).json()) as Record<string, unknown>;
  expect(openApiProblems(document)).toEqual([]);
  const paths = document['paths'] as Record<
    string,
    Record<string, { responses: Record<string, { content?: object }> }>
  >;
  expect(Object.keys(paths).filter((path) => path.startsWith('/api/v1/samples'))).toHaveLength(11);
  const types = (path: string) => Object.keys(paths[path]?.['get']?.responses['200']?.content ?? {});
  expect(types('/api/v1/samples/{hex}/picture')).toEqual(['image/png', 'image/jpeg', 'image/webp']);
  expect(types('/api/v1/samples/{hex}/inputs/{name}')).toEqual(['application/octet-stream']);
});

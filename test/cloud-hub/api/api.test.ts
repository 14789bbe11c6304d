// The admin API's frame over a small domain of its own: tokens, scopes, problem documents, OpenAPI.
import { createApi, page, type Api, type RouteDomain } from '@tidegate/cloud-hub/api/api.js';
import { ApiError, problem } from '@tidegate/cloud-hub/api/problem.js';
import type { Caller } from '@tidegate/cloud-hub/security/tokens.js';
import { problemSchema, type Scope } from '@tidegate/shared/wire/admin-api.js';
import { silentLog, type Log } from '@tidegate/shared/system/log.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';

class TideError extends Error {}

const domain: RouteDomain = {
  tag: 'tides',
  register: (api) => {
    api.post(
      '/api/v1/tides',
      {
        config: { scope: 'operate' },
        schema: {
          body: z.strictObject({ height: z.number().max(20) }),
          response: { 201: z.object({ by: z.string() }) },
        },
      },
      async (request, reply) => reply.code(201).send({ by: request.caller.actor }),
    );
    api.get('/api/v1/tides/low', { config: { scope: 'read' } }, () => Promise.reject(new TideError('too low')));
    api.get('/api/v1/tides/lost', { config: { scope: 'any' } }, () =>
      Promise.reject(new ApiError(404, 'gone', { field: 'id' })),
    );
    api.get('/api/v1/tides/bug', { config: { scope: 'public' } }, () => Promise.reject(new Error('secret detail')));
    api.get(
      '/api/v1/tides/wrong',
      { config: { scope: 'public' }, schema: { response: { 200: z.object({ n: z.number() }) } } },
      (async () => ({ n: 'text' })) as never,
    );
    void api.register(async (inner) => {
      inner.get('/api/v1/tides/within', { config: { scope: 'read' } }, async () => 'within');
    });
  },
  problemOf: (error) => (error instanceof TideError ? problem(409, error.message, 'height') : undefined),
};

const callers: Record<string, Caller> = Object.fromEntries(
  (['admin', 'operate', 'read', 'infer'] as Scope[]).map((scope) => [
    scope,
    { actor: `token:${scope}`, tokenId: scope, scopes: [scope] },
  ]),
);
const logged: string[] = [];
const log: Log = { ...silentLog, error: (_fields, message) => void logged.push(message) };
let api: Api;

beforeAll(async () => {
  api = await createApi({ tokens: { verify: async (text) => callers[text] }, log, version: '1.2.3' }, [domain]);
});
afterAll(() => api.close());

const ask = (method: 'GET' | 'POST', url: string, token?: string, payload?: unknown) =>
  api.inject({
    method,
    url,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    ...(payload === undefined ? {} : { payload: payload as object }),
  });

describe('who may call', () => {
  test('a token with the scope, and admin; the handler knows who', async () => {
    expect((await ask('POST', '/api/v1/tides', 'operate', { height: 3 })).json()).toEqual({ by: 'token:operate' });
    expect((await ask('POST', '/api/v1/tides', 'admin', { height: 3 })).statusCode).toBe(201);
  });

  test.each([
    [undefined, 401],
    ['nobody', 401],
    ['read', 403],
  ])('%s is refused with %i before the body is looked at', async (token, status) => {
    const answer = await ask('POST', '/api/v1/tides', token, { height: 'x' });
    expect(answer.statusCode).toBe(status);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(problemSchema.parse(answer.json())).toMatchObject({ status, field: 'authorization' });
    expect(answer.headers['www-authenticate']).toBe(status === 401 ? 'Bearer realm="tidegate"' : undefined);
  });

  test('any token may call what asks for any', async () => {
    expect((await ask('GET', '/api/v1/tides/lost', 'infer')).statusCode).toBe(404);
    expect((await ask('GET', '/api/v1/tides/lost')).statusCode).toBe(401);
  });

  test('a route that states no scope stops the start', async () => {
    const careless: RouteDomain = { tag: 'x', register: (api) => void api.get('/api/v1/x', () => 'x') };
    await expect(
      createApi({ tokens: { verify: async () => undefined }, log, version: '1' }, [careless]),
    ).rejects.toThrow(/no scope/);
  });

  test('nor does one in a scope of its own, which opens later', async () => {
    const scoped = async (inner: { get: Api['get'] }): Promise<void> => void inner.get('/x', () => 'x');
    const careless: RouteDomain = {
      tag: 'x',
      register: (api) => void api.register(scoped as never, { prefix: '/api/v1' }),
    };
    await expect(
      createApi({ tokens: { verify: async () => undefined }, log, version: '1' }, [careless]),
    ).rejects.toThrow(/no scope/);
  });
});

describe('errors are RFC 9457 problem documents', () => {
  test.each([
    [{ height: 'high' }, 'height'],
    [{ height: 21 }, 'height'],
    [{}, 'height'],
    [{ height: 1, colour: 'blue' }, 'colour'],
    [undefined, 'body'],
  ])('a wrong body %j names its field', async (body, field) => {
    const answer = await ask('POST', '/api/v1/tides', 'operate', body);
    expect(answer.statusCode).toBe(400);
    expect(problemSchema.parse(answer.json())).toMatchObject({ title: 'Bad Request', field });
    expect((await ask('POST', '/api/v1/tides', 'operate', { height: 1 })).statusCode).toBe(201);
  });

  test('broken JSON, another media type, a body that is too large', async () => {
    const send = (contentType: string, payload: string) =>
      api.inject({
        method: 'POST',
        url: '/api/v1/tides',
        headers: { authorization: 'Bearer operate', 'content-type': contentType },
        payload,
      });
    for (const [answer, status, field] of [
      [await send('application/json', '{"height": '), 400, 'body'],
      [await send('application/json', ''), 400, 'body'],
      [await send('text/csv', 'height'), 415, 'content-type'],
      [await send('application/json', JSON.stringify({ height: 1, x: 'x'.repeat(5_000_000) })), 413, 'body'],
    ] as const) {
      expect(answer.statusCode).toBe(status);
      expect(problemSchema.parse(answer.json())).toMatchObject({ status, field });
    }
  });

  test('a path that can’t be decoded', async () => {
    for (const url of ['/api/v1/tides/%ff%fe', '/api/v1/tides/%']) {
      const answer = await ask('GET', url);
      expect(answer.headers['content-type']).toBe('application/problem+json');
      expect(problemSchema.parse(answer.json())).toMatchObject({ status: 400, field: 'path' });
    }
  });

  test('a domain’s own error, and a route’s', async () => {
    expect((await ask('GET', '/api/v1/tides/low', 'read')).json()).toMatchObject({
      status: 409,
      detail: 'too low',
      field: 'height',
    });
    expect((await ask('GET', '/api/v1/tides/lost', 'read')).json()).toMatchObject({ status: 404, field: 'id' });
  });

  test('no such path', async () => {
    expect((await ask('GET', '/api/v1/nothing?x=1')).json()).toMatchObject({
      status: 404,
      detail: 'no GET /api/v1/nothing',
    });
  });

  test('a bug is logged, and tells the caller nothing of the inside', async () => {
    for (const path of ['bug', 'wrong']) {
      const answer = await ask('GET', `/api/v1/tides/${path}`);
      expect(answer.statusCode).toBe(500);
      expect(answer.body).not.toContain('secret');
      expect(problemSchema.parse(answer.json()).status).toBe(500);
    }
    expect(logged.length).toBe(2);
  });
});

describe('the description', () => {
  test('is OpenAPI 3.1 made from the schemas, with scopes and problems', async () => {
    const description = (await ask('GET', '/api/openapi.json')).json();
    expect(description).toMatchObject({ openapi: '3.1.0', info: { version: '1.2.3' } });
    const post = description.paths['/api/v1/tides'].post;
    expect(post.tags).toEqual(['tides']);
    expect(post.security).toEqual([{ token: [] }]);
    expect(post.description).toContain('`operate`');
    expect(post.requestBody.content['application/json'].schema.properties.height).toMatchObject({
      type: 'number',
      maximum: 20,
    });
    expect(post.responses['201'].content['application/json'].schema.required).toEqual(['by']);
    expect(post.responses.default.content['application/problem+json'].schema.required).toContain('status');
    expect(description.paths['/api/v1/tides/bug'].get.security).toBeUndefined();
  });

  test('knows the domain and the scope of a route in a context of its own, too', async () => {
    const { get } = (await ask('GET', '/api/openapi.json')).json().paths['/api/v1/tides/within'];
    expect(get).toMatchObject({ tags: ['tides'], security: [{ token: [] }], description: 'Needs the scope `read`.' });
  });
});

test('a page has a cursor only where more follows', () => {
  expect(page([1, 2, 3], 2, String)).toEqual({ items: [1, 2], nextCursor: '2' });
  expect(page([1, 2], 2, String)).toEqual({ items: [1, 2] });
  expect(page([], 2, String)).toEqual({ items: [] });
});

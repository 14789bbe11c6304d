// Tokens, audit, health and the docs page over HTTP, on a database in memory.
import { createApi, type Api } from '@tidegate/cloud-hub/api/api.js';
import { auditRoutes } from '@tidegate/cloud-hub/api/audit-routes.js';
import { docsPage } from '@tidegate/cloud-hub/api/docs-page.js';
import { healthRoutes } from '@tidegate/cloud-hub/api/health-routes.js';
import { tokenRoutes } from '@tidegate/cloud-hub/api/token-routes.js';
import { Tokens } from '@tidegate/cloud-hub/security/tokens.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

let db: Database;
let api: Api;
let admin: string;
let draining = false;

beforeEach(async () => {
  db = await openSqlite(':memory:');
  const tokens = new Tokens(db, systemClock);
  admin = (await tokens.create({ name: 'admin', scopes: ['admin'] }, 'system:init')).token;
  api = await createApi({ tokens, log: silentLog, version: '1.0.0' }, [
    healthRoutes('1.0.0', () => draining),
    tokenRoutes(tokens),
    auditRoutes(db),
  ]);
});
afterEach(async () => {
  await api.close();
  await db.destroy();
});

const ask = (method: 'GET' | 'POST' | 'DELETE', url: string, token = admin, payload?: object) =>
  api.inject({
    method,
    url,
    headers: { authorization: `Bearer ${token}` },
    ...(payload === undefined ? {} : { payload }),
  });

describe('tokens', () => {
  test('are made, used, listed without secrets, revoked', async () => {
    const created = await ask('POST', '/api/v1/tokens', admin, { name: 'ci', scopes: ['read'], expiresInSeconds: 60 });
    expect(created.statusCode).toBe(201);
    const { id, token, expiresAt } = created.json();
    expect(Date.parse(expiresAt)).toBeGreaterThan(Date.now());
    expect((await ask('GET', '/api/v1/me', token)).json()).toEqual({ actor: 'token:ci', scopes: ['read'] });
    expect((await ask('POST', '/api/v1/tokens', token, { name: 'x', scopes: ['admin'] })).statusCode).toBe(403);
    const listed = (await ask('GET', '/api/v1/tokens')).body;
    expect(listed).toContain(id);
    expect(listed).not.toContain(token.split('_')[2]);
    expect((await ask('DELETE', `/api/v1/tokens/${id}`)).statusCode).toBe(204);
    expect((await ask('GET', '/api/v1/me', token)).statusCode).toBe(401);
    expect((await ask('DELETE', '/api/v1/tokens/none')).json()).toMatchObject({ status: 404, field: 'id' });
  });

  test.each([
    [{ name: '', scopes: ['read'] }, 'name'],
    [{ name: 'x', scopes: [] }, 'scopes'],
    [{ name: 'x', scopes: ['root'] }, 'scopes/0'],
    [{ name: 'x', scopes: ['read'], expiresInSeconds: 0 }, 'expiresInSeconds'],
    [{ name: 'x', scopes: ['read'], secret: 'mine' }, 'secret'],
  ])('%j is refused by its field', async (body, field) => {
    expect((await ask('POST', '/api/v1/tokens', admin, body)).json()).toMatchObject({ status: 400, field });
  });

  test('come in pages', async () => {
    for (const name of ['a', 'b']) await ask('POST', '/api/v1/tokens', admin, { name, scopes: ['read'] });
    const first = (await ask('GET', '/api/v1/tokens?limit=2')).json();
    const second = (await ask('GET', `/api/v1/tokens?limit=2&cursor=${first.nextCursor}`)).json();
    expect([first.items.length, second.items.length, second.nextCursor]).toEqual([2, 1, undefined]);
  });
});

test('the audit log is read by pages and by subject', async () => {
  for (const name of ['a', 'b']) await ask('POST', '/api/v1/tokens', admin, { name, scopes: ['read'] });
  const first = (await ask('GET', '/api/v1/audit?limit=2')).json();
  expect(first.items.map((row: { detail: { name: string } }) => row.detail.name)).toEqual(['b', 'a']);
  const second = (await ask('GET', `/api/v1/audit?limit=2&cursor=${first.nextCursor}`)).json();
  expect(second.items).toEqual([expect.objectContaining({ actor: 'system:init', action: 'token.create' })]);
  expect((await ask('GET', `/api/v1/audit?subject=${second.items[0].subject}`)).json().items.length).toBe(1);
  expect((await ask('GET', '/api/v1/audit?cursor=now')).json()).toMatchObject({ status: 400, field: 'cursor' });
});

test('health says when the hub drains', async () => {
  expect((await api.inject('/api/v1/health')).json()).toEqual({ status: 'ok', version: '1.0.0' });
  draining = true;
  expect((await api.inject('/api/v1/health')).json().status).toBe('draining');
  draining = false;
});

test('the docs page runs its own script only', async () => {
  const page = await api.inject('/api/docs');
  expect(page.body).toBe(docsPage.html);
  const script = /<script>([\s\S]*)<\/script>/.exec(page.body)?.[1] ?? '';
  const hash = createHash('sha256').update(script).digest('base64');
  expect(page.headers['content-security-policy']).toContain(`script-src 'sha256-${hash}'`);
});

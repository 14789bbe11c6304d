import { Tokens, bearerOf, mayUse } from '@tidegate/cloud-hub/security/tokens.js';
import { listAudit } from '@tidegate/cloud-hub/security/audit.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../support/manual-clock.js';

let db: Database;
let clock: ManualClock;
let tokens: Tokens;

beforeEach(async () => {
  db = await openSqlite(':memory:');
  clock = new ManualClock();
  tokens = new Tokens(db, clock);
});
afterEach(() => db.destroy());

describe('a new token', () => {
  test('verifies as its caller; the database never holds its secret', async () => {
    const { token, info } = await tokens.create({ name: 'ci', scopes: ['publish', 'read'] }, 'token:admin');
    expect(await tokens.verify(token)).toEqual({ actor: 'token:ci', tokenId: info.id, scopes: ['publish', 'read'] });
    const secret = token.split('_').slice(2).join('_');
    expect(JSON.stringify(await db.selectFrom('tokens').selectAll().execute())).not.toContain(secret);
    expect(JSON.stringify(await listAudit(db, { limit: 10 }))).not.toContain(secret);
  });

  test('leaves an audit row', async () => {
    const { info } = await tokens.create({ name: 'ci', scopes: ['read'] }, 'token:admin');
    expect(await listAudit(db, { limit: 10 })).toEqual([
      expect.objectContaining({ actor: 'token:admin', action: 'token.create', subject: `token:${info.id}` }),
    ]);
  });
});

describe('what is no valid token', () => {
  test.each(['', 'tgk_', 'tgk_0123456789abcdef_x', 'Bearer x', `tgk_0123456789abcdef_${'A'.repeat(43)}`])(
    '%j is nobody',
    async (text) => {
      expect(await tokens.verify(text)).toBeUndefined();
    },
  );

  test('another secret with a known id is nobody', async () => {
    const { token } = await tokens.create({ name: 'a', scopes: ['read'] }, 'x');
    const other = await tokens.create({ name: 'b', scopes: ['admin'] }, 'x');
    const [, id] = token.split('_');
    const forged = `tgk_${id}_${other.token.split('_').slice(2).join('_')}`;
    expect(await tokens.verify(forged)).toBeUndefined();
  });

  test('an expired one is nobody, also when it was remembered', async () => {
    const { token } = await tokens.create({ name: 'a', scopes: ['read'], expiresInSeconds: 5 }, 'x');
    expect(await tokens.verify(token)).toBeDefined();
    clock.advance(5_000);
    expect(await tokens.verify(token)).toBeUndefined();
  });

  test('a revoked one is nobody at once, and revoking is audited once', async () => {
    const { token, info } = await tokens.create({ name: 'a', scopes: ['read'] }, 'x');
    expect(await tokens.verify(token)).toBeDefined();
    expect(await tokens.revoke(info.id, 'token:admin')).toBe(true);
    expect(await tokens.revoke(info.id, 'token:admin')).toBe(true);
    expect(await tokens.verify(token)).toBeUndefined();
    expect(await tokens.revoke('nobody', 'token:admin')).toBe(false);
    const actions = (await listAudit(db, { limit: 10 })).map((row) => row.action);
    expect(actions).toEqual(['token.revoke', 'token.create']);
  });
});

test('lists tokens page by page', async () => {
  for (const name of ['a', 'b', 'c']) await tokens.create({ name, scopes: ['read'] }, 'x');
  const first = await tokens.list({ limit: 2 });
  const rest = await tokens.list({ limit: 2, afterId: first[1]?.id ?? '' });
  expect([...first, ...rest].map((token) => token.name).sort()).toEqual(['a', 'b', 'c']);
});

test('admin may use every scope, others theirs', () => {
  const caller = { actor: 'token:x', tokenId: 'x', scopes: ['infer'] as const };
  expect(mayUse(caller, 'infer')).toBe(true);
  expect(mayUse(caller, 'read')).toBe(false);
  expect(mayUse({ ...caller, scopes: ['admin'] }, 'publish')).toBe(true);
});

test('reads the bearer header', () => {
  expect(bearerOf('Bearer abc')).toBe('abc');
  expect(bearerOf('bearer abc')).toBe('abc');
  for (const header of [undefined, '', 'Basic abc', 'Bearer', 'Bearer a b', `Bearer ${'a'.repeat(600)}`]) {
    expect(bearerOf(header)).toBeUndefined();
  }
});

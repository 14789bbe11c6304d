import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MIGRATIONS } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { temporaryFolders } from '../../../support/temporary-folder.js';

const folder = temporaryFolders('open-sqlite');
const names = async (db: Awaited<ReturnType<typeof openSqlite>>): Promise<string[]> =>
  (await db.introspection.getTables()).map((table) => table.name).sort();

describe('a fresh database', () => {
  test('has every domain’s tables and survives being closed', async () => {
    const path = join(folder(), 'hub.db');
    const db = await openSqlite(path);
    expect(await names(db)).toEqual(
      expect.arrayContaining([
        'audit',
        'devices',
        'measurements',
        'models',
        'rollouts',
        'tokens',
        'uploads',
        'variants',
        'versions',
      ]),
    );
    await db.insertInto('models').values({ name: 'ocr', description: null, created_at: 'now' }).execute();
    await db.destroy();
    const again = await openSqlite(path);
    expect(await again.selectFrom('models').select('name').execute()).toEqual([{ name: 'ocr' }]);
    await again.destroy();
  });

  test('is durable and keeps foreign keys', async () => {
    const db = await openSqlite(join(folder(), 'hub.db'));
    expect((await sql<{ synchronous: number }>`pragma synchronous`.execute(db)).rows[0]?.synchronous).toBe(2);
    expect((await sql<{ journal_mode: string }>`pragma journal_mode`.execute(db)).rows[0]?.journal_mode).toBe('wal');
    const orphan = db
      .insertInto('versions')
      .values({
        model: 'nobody',
        version: 1,
        digest: 'sha256:x',
        label: null,
        licence: 'MIT',
        privacy: 'hub',
        state: 'ready',
        detail: null,
        size_bytes: 1,
        manifest: '{}',
        created_at: 'now',
      })
      .execute();
    await expect(orphan).rejects.toThrow(/FOREIGN KEY/);
    await db.destroy();
  });
});

describe('a database of an earlier release', () => {
  test('is brought up to date, with what it holds, from each earlier state', async () => {
    const all = Object.entries(MIGRATIONS);
    for (let known = 1; known < all.length; known += 1) {
      const path = join(folder(), 'hub.db');
      const old = await openSqlite(path, Object.fromEntries(all.slice(0, known)));
      const row = { at: 'then', actor: 'token:a', action: 'x', subject: 'y', detail: '{}' };
      await old.insertInto('audit').values(row).execute();
      await old.destroy();
      const db = await openSqlite(path);
      expect(await db.selectFrom('audit').selectAll().execute()).toEqual([{ id: 1, ...row }]);
      expect(await names(db)).toEqual(expect.arrayContaining(['tokens', 'versions', 'devices', 'rollouts']));
      await db.destroy();
    }
  });

  test('stays as it was when a migration fails, and opens again', async () => {
    const path = join(folder(), 'hub.db');
    const failing = {
      ...MIGRATIONS,
      '9999-broken': {
        up: async (db: Parameters<(typeof MIGRATIONS)[string]['up']>[0]) => {
          await db.schema.createTable('half').addColumn('a', 'text').execute();
          throw new Error('no further');
        },
      },
    };
    await expect(openSqlite(path, failing)).rejects.toThrow('the database could not be migrated');
    expect(existsSync(path)).toBe(true);
    const db = await openSqlite(path);
    expect(await names(db)).not.toContain('half');
    expect(await names(db)).toContain('tokens');
    await db.destroy();
  });
});

test('a second hub on the same database is refused, until the first has ended', async () => {
  const path = join(folder(), 'hub.db');
  const first = await openSqlite(path);
  await expect(openSqlite(path)).rejects.toThrow(/in use by another hub/);
  expect(await first.selectFrom('models').selectAll().execute()).toEqual([]);
  await first.destroy();
  await (await openSqlite(path)).destroy();
});

test('says that there is no space, not that the transaction is gone, and goes on once there is (B5)', async () => {
  const db = await openSqlite(join(folder(), 'hub.db'));
  const add = (name: string): Promise<void> =>
    db.transaction().execute(async (trx) => {
      await trx
        .insertInto('models')
        .values({ name, description: 'x'.repeat(1 << 20), created_at: 'now' })
        .execute();
    });
  const { page_count: pages } = (await sql<{ page_count: number }>`pragma page_count`.execute(db)).rows[0]!;
  await sql`pragma max_page_count = ${sql.lit(pages + 8)}`.execute(db);
  await expect(add('large')).rejects.toMatchObject({ code: 'SQLITE_FULL' });
  await sql`pragma max_page_count = ${sql.lit(pages + 8000)}`.execute(db);
  await add('again');
  expect(await db.selectFrom('models').select('name').execute()).toEqual([{ name: 'again' }]);
  await db.destroy();
});

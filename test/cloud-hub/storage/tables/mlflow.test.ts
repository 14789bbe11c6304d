// MLflow's tables come to a hub that has been running without them, with the experiment that clients log to when they name none.
import { join } from 'node:path';
import { MIGRATIONS } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { mlflowMigration } from '@tidegate/cloud-hub/storage/tables/mlflow.js';
import { expect, test } from 'vitest';
import { temporaryFolders } from '../../../support/temporary-folder.js';

const folder = temporaryFolders('mlflow-tables');

test('a database of an earlier hub gets them, and keeps what it has', async () => {
  const path = join(folder(), 'hub.db');
  const names = Object.keys(MIGRATIONS);
  const earlier = names.slice(0, names.indexOf('0009-mlflow'));
  const before = await openSqlite(
    path,
    Object.fromEntries(earlier.map((name) => [name, MIGRATIONS[name] ?? mlflowMigration])),
  );
  await before
    .insertInto('models')
    .values({ name: 'm', description: null, created_at: '2026-01-01T00:00:00Z' })
    .execute();
  await before.destroy();
  const db = await openSqlite(path);
  expect(await db.selectFrom('models').select('name').execute()).toEqual([{ name: 'm' }]);
  expect(await db.selectFrom('mlflow_experiments').select(['id', 'name']).execute()).toEqual([
    { id: 0, name: 'Default' },
  ]);
  const { id } = await db
    .insertInto('mlflow_experiments')
    .values({ name: 'next', state: 'active', created_ms: 0, updated_ms: 0, model: null })
    .returning('id')
    .executeTakeFirstOrThrow();
  expect(id).toBe(1);
  await db.destroy();
});

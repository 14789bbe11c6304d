// Opens the embedded database (better-sqlite3 through Kysely) and migrates it. WAL, foreign keys on, synchronous FULL:
// what was acknowledged survives a power cut.
import SqliteDriver from 'better-sqlite3';
import { Kysely, Migrator, SqliteDialect } from 'kysely';
import { MIGRATIONS, type Database, type Tables } from '../database.js';

/** `:memory:` for tests. Rejects when a migration fails; the file is then as it was. */
export async function openSqlite(path: string): Promise<Database> {
  const driver = new SqliteDriver(path);
  driver.pragma('journal_mode = WAL');
  driver.pragma('synchronous = FULL');
  driver.pragma('foreign_keys = ON');
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: driver }) });
  const migrator = new Migrator({ db, provider: { getMigrations: async () => ({ ...MIGRATIONS }) } });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) {
    await db.destroy();
    throw new Error('the database could not be migrated', { cause: error });
  }
  return db;
}

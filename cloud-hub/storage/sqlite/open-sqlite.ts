// Opens the embedded database (better-sqlite3 through Kysely) and migrates it. WAL, foreign keys on, synchronous FULL:
// what was acknowledged survives a power cut.
import SqliteDriver from 'better-sqlite3';
import { Kysely, Migrator, SqliteAdapter, SqliteDialect } from 'kysely';
import { MIGRATIONS, type Database, type Tables } from '../database.js';

/** Kysely says that SQLite has no transactional DDL; it has. So all migrations are one transaction: killed in the middle, none ran. */
class TransactionalSqlite extends SqliteDialect {
  override createAdapter(): SqliteAdapter {
    return new (class extends SqliteAdapter {
      override get supportsTransactionalDdl(): boolean {
        return true;
      }
    })();
  }
}

/** `:memory:` for tests. Rejects when a migration fails; the file is then as it was. */
export async function openSqlite(path: string, migrations: typeof MIGRATIONS = MIGRATIONS): Promise<Database> {
  const driver = new SqliteDriver(path);
  driver.pragma('journal_mode = WAL');
  driver.pragma('synchronous = FULL');
  driver.pragma('foreign_keys = ON');
  const db = new Kysely<Tables>({ dialect: new TransactionalSqlite({ database: driver }) });
  const migrator = new Migrator({ db, provider: { getMigrations: async () => ({ ...migrations }) } });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) {
    await db.destroy();
    throw new Error('the database could not be migrated', { cause: error });
  }
  return db;
}

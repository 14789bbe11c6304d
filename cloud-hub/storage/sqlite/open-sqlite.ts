// Opens the embedded database (better-sqlite3 through Kysely) and migrates it. WAL, foreign keys on, synchronous FULL:
// what was acknowledged survives a power cut. One process at a time: two hubs on one folder would each judge rollouts and make
// variants; the lock ends with its process, however it ends.
import SqliteDriver from 'better-sqlite3';
import {
  Kysely,
  Migrator,
  SqliteAdapter,
  SqliteDialect,
  SqliteDriver as KyselyDriver,
  type DatabaseConnection,
} from 'kysely';
import { MIGRATIONS, type Database, type Tables } from '../database.js';

/** Kysely says that SQLite has no transactional DDL; it has. So all migrations are one transaction: killed in the middle, none ran. */
class TransactionalSqlite extends SqliteDialect {
  readonly #database: SqliteDriver.Database;

  constructor(database: SqliteDriver.Database) {
    super({ database });
    this.#database = database;
  }

  /** A full disk ends the transaction by itself; rolling back once more would fail, and hide why it ended. */
  override createDriver(): KyselyDriver {
    const database = this.#database;
    return new (class extends KyselyDriver {
      override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
        if (database.inTransaction) await super.rollbackTransaction(connection);
      }
    })({ database });
  }

  override createAdapter(): SqliteAdapter {
    return new (class extends SqliteAdapter {
      override get supportsTransactionalDdl(): boolean {
        return true;
      }
    })();
  }
}

/** How long another hub, which may just be ending, is waited for. */
const LOCK_WAIT_MS = 2_000;

/** `:memory:` for tests. Rejects when another hub has it, or when a migration fails; the file is then as it was. */
export async function openSqlite(path: string, migrations: typeof MIGRATIONS = MIGRATIONS): Promise<Database> {
  const driver = openDriver(path);
  const db = new Kysely<Tables>({ dialect: new TransactionalSqlite(driver) });
  const migrator = new Migrator({ db, provider: { getMigrations: async () => ({ ...migrations }) } });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) {
    await db.destroy();
    throw new Error('the database could not be migrated', { cause: error });
  }
  return db;
}

function openDriver(path: string): SqliteDriver.Database {
  const driver = new SqliteDriver(path, { timeout: LOCK_WAIT_MS });
  try {
    driver.pragma('locking_mode = EXCLUSIVE'); // taken with the first write, held to the end
    driver.pragma('journal_mode = WAL');
    driver.pragma('synchronous = FULL');
    driver.pragma('foreign_keys = ON');
    driver.pragma('case_sensitive_like = ON'); // as in PostgreSQL
    driver.exec('BEGIN IMMEDIATE; COMMIT');
    return driver;
  } catch (cause) {
    driver.close();
    if ((cause as { code?: unknown }).code !== 'SQLITE_BUSY') throw cause;
    throw new Error(`${path} is in use by another hub`, { cause });
  }
}

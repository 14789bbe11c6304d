// Opens the agent's SQLite file, and never lets a broken one stop the agent (field lesson B24): a file that fails SQLite's
// integrity check is set aside as `<file>.corrupt` (the newest one only, for support) and an empty one takes its place.
// What it held comes back from signed files on disk and from the hub; on a volume that became read-only it lies in memory. Writes are
// synchronous=FULL in WAL mode: a statement that returned survives a power cut; there are a few per activation, so the card does not
// wear from them.
import Database from 'better-sqlite3';
import { dirname, join } from 'node:path';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Log } from '@tidegate/shared/system/log.js';

export type SqliteDatabase = Database.Database;

/** The machine's trouble, not the file's: setting it aside would not help. Every other error means a broken file. */
const NOT_THE_FILES_FAULT = /^SQLITE_(CANTOPEN|FULL|PERM|NOMEM|IOERR(?!_READ|_SHORT_READ|_CORRUPTFS))/;

/** In order; the index + 1 is the `user_version` after it. Append only. */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE documents (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
   CREATE TABLE active_versions (model TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
   CREATE TABLE activations (
     model TEXT NOT NULL, variant_digest TEXT NOT NULL, rollout_id TEXT NOT NULL,
     changed INTEGER NOT NULL, document TEXT NOT NULL,
     PRIMARY KEY (model, variant_digest, rollout_id)) STRICT;
   CREATE TABLE outbox (
     seq INTEGER PRIMARY KEY, priority INTEGER NOT NULL, size_bytes INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
   CREATE INDEX outbox_drop_order ON outbox (priority, seq);`,
];

interface OpenedDatabase {
  readonly database: SqliteDatabase;
  /** Why the file before was set aside; undefined when it was sound or there was none. */
  readonly rebuiltBecause: string | undefined;
  /** True when it holds nothing yet: the first start, or a rebuilt one. */
  readonly fresh: boolean;
}

/** Rejects only when another agent uses the folder, or when even an empty database can't be made (permission, full disk). */
export async function openDatabase(path: string, modules: { files: Files; log: Log }): Promise<OpenedDatabase> {
  await modules.files.makeFolder('state.folder', dirname(path));
  const first = await tryOpenUnlessReadOnly(path, modules.files);
  if (first === 'read-only') {
    modules.log.error({ path }, 'data folder is read-only: serving what it holds, keeping nothing');
    const inMemory = tryOpen(':memory:');
    if ('broken' in inMemory) throw new Error(`state database: ${inMemory.broken}`);
    return { ...inMemory, rebuiltBecause: 'the data folder is read-only' };
  }
  if ('database' in first) return { ...first, rebuiltBecause: undefined };
  modules.log.error({ path, reason: first.broken }, 'state database is broken: set aside and rebuilt');
  await modules.files.commit('state.set-aside', path, `${path}.corrupt`);
  for (const suffix of ['-wal', '-shm']) await modules.files.remove('state.set-aside', path + suffix);
  const second = tryOpen(path);
  if ('broken' in second) throw new Error(`state database ${path}: ${second.broken}`);
  return { ...second, rebuiltBecause: first.broken };
}

/** What is there, to be read: it is not repaired, migrated or made. Where an agent has it open, reading throws SQLITE_BUSY. */
export function openToRead(path: string): SqliteDatabase {
  const database = new Database(path, { fileMustExist: true, timeout: 0 });
  database.pragma('locking_mode = EXCLUSIVE'); // as the agent does: no -shm file stays behind
  database.pragma('query_only = ON');
  return database;
}

/** A card that wears out is turned read-only by the kernel: then no database can be opened, sound as it may be. */
async function tryOpenUnlessReadOnly(path: string, files: Files): Promise<Opened | 'read-only'> {
  try {
    const opened = tryOpen(path);
    return 'broken' in opened && (await isReadOnly(dirname(path), files)) ? 'read-only' : opened;
  } catch (cause) {
    if (await isReadOnly(dirname(path), files)) return 'read-only';
    throw cause;
  }
}

async function isReadOnly(folder: string, files: Files): Promise<boolean> {
  const probe = join(folder, '.probe');
  try {
    await files.writeAtomic('state.probe', probe, '');
    await files.remove('state.probe', probe);
    return false;
  } catch (cause) {
    return (cause as { code?: unknown }).code === 'EROFS';
  }
}

type Opened = { database: SqliteDatabase; fresh: boolean } | { broken: string };

function tryOpen(path: string): Opened {
  let database: SqliteDatabase | undefined;
  try {
    database = new Database(path, { timeout: 0 });
    // One agent per folder; and no -shm file, so that a full disk can't stop a start (field lesson B5).
    database.pragma('locking_mode = EXCLUSIVE');
    database.pragma('auto_vacuum = INCREMENTAL');
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    database.pragma('wal_autocheckpoint = 256');
    database.pragma('journal_size_limit = 1048576');
    const found = database.pragma('integrity_check(1)', { simple: true });
    if (found !== 'ok') throw Object.assign(new Error(String(found)), { code: 'SQLITE_CORRUPT' });
    const before = migrate(database);
    if (schemaOf(database) !== expectedSchema()) throw new Error('its tables are not those that this agent made');
    return { database, fresh: before === 0 };
  } catch (cause) {
    database?.close();
    const code = (cause as { code?: unknown }).code;
    if (typeof code === 'string' && code.startsWith('SQLITE_BUSY')) {
      throw new Error(`state database ${path} is in use: another agent runs on this data folder`, { cause });
    }
    if (typeof code === 'string' && NOT_THE_FILES_FAULT.test(code)) throw cause;
    return { broken: (cause as Error).message };
  }
}

/** Returns the schema's version before. */
function migrate(database: SqliteDatabase): number {
  const version = Number(database.pragma('user_version', { simple: true }));
  if (version > MIGRATIONS.length) {
    throw new Error(`state database has schema ${version}, this agent knows up to ${MIGRATIONS.length}`);
  }
  for (const [index, sql] of MIGRATIONS.entries()) {
    if (index < version) continue;
    database.transaction(() => {
      database.exec(sql);
      database.pragma(`user_version = ${index + 1}`);
    })();
  }
  return version;
}

/** The text of every table and index: a flipped byte in there passes SQLite's integrity check. */
function schemaOf(database: SqliteDatabase): string {
  return JSON.stringify(database.prepare('SELECT type, name, sql FROM sqlite_schema ORDER BY name').all());
}

function expectedSchema(): string {
  const fresh = new Database(':memory:');
  try {
    migrate(fresh);
    return schemaOf(fresh);
  } finally {
    fresh.close();
  }
}

// The disk layer's rows, in a SQLite file of their own: losing it loses nothing but time. WAL with synchronous=OFF: no commit waits for a
// disk, nor does writing the log back; on a slow card that is what stalls an event loop. kill -9 loses nothing that was committed. A power
// cut may lose the last commits or break the file: each row carries its digest, a broken page throws where it is met, and there is no
// integrity check at the start, which would read all of it. Only a drop waits (dropped-answers.ts), and closing. The file and its log
// together stay within the limit: an eighth is set aside for the log.
//
// Evicts by SIEVE in the order of `seq`; the bits are the caller's (`wasUsed`), so that a hit writes nothing.
import Database from 'better-sqlite3';
import { dirname } from 'node:path';
import type { Files } from '@tidegate/shared/system/files.js';
import type { CacheSelection } from '@tidegate/shared/cache/cache-layer.js';
import type { BeginAnew, DiskRow, DiskStore, OpenedDiskStore } from '../cache/disk-store.js';
import { DroppedAnswers, DROPS_SCHEMA, LIVE } from './dropped-answers.js';

const PAGE_BYTES = 4096;
const LOG_SHARE = 1 / 8;
/** Of the log's room: when it is written back, and the largest row. One batch may come on top. */
const CHECKPOINT_SHARE = 1 / 4;
/** The log is written back before it is larger than this, so that one commit doesn't copy many megabytes. */
const CHECKPOINT_PAGES_MAX = 1024;
const SCHEMA_VERSION = 2;
const SCHEMA = `
  CREATE TABLE answers (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL, model TEXT NOT NULL, tags TEXT NOT NULL, stored_ms INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL, digest BLOB NOT NULL, body BLOB NOT NULL) STRICT;
  CREATE UNIQUE INDEX answers_by_key ON answers (key);
  CREATE INDEX answers_by_model ON answers (model, size_bytes);
  CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
  ${DROPS_SCHEMA}
  PRAGMA user_version = ${SCHEMA_VERSION};`;

/** The machine's trouble, not the file's: setting it aside would not help. */
const NOT_THE_FILES_FAULT = /^SQLITE_(BUSY|CANTOPEN|FULL|PERM|READONLY|NOMEM|IOERR(?!_READ|_SHORT_READ|_CORRUPTFS))/;

/** The file itself is to blame, so a new one helps. */
function isBrokenFile(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  return typeof code !== 'string' || !NOT_THE_FILES_FAULT.test(code);
}

/**
 * Opens `path`, or makes it (mode 0600). A broken one is set aside as `<path>.corrupt`, which the next start removes; with
 * `anew` the one that is there goes, however sound it looks. Rejects where another agent has it open, or where no file can
 * be made.
 */
export async function openAnswerStore(
  path: string,
  limitBytes: number,
  files: Files,
  anew?: BeginAnew,
): Promise<OpenedDiskStore> {
  await files.makeFolder('cache.folder', dirname(path));
  await files.remove('cache.remove-corrupt', `${path}.corrupt`);
  if (anew !== undefined) {
    await replaceFile(path, files, anew.how);
    return { store: new SqliteAnswerStore(path, limitBytes), brokenBecause: anew.reason };
  }
  if ((await files.sizeBytes('cache.size', path)) === undefined) await files.writeAtomic('cache.make', path, '', 0o600);
  try {
    return { store: new SqliteAnswerStore(path, limitBytes), brokenBecause: undefined };
  } catch (error) {
    if (!isBrokenFile(error)) throw error;
    await replaceFile(path, files, 'set-aside');
    return { store: new SqliteAnswerStore(path, limitBytes), brokenBecause: messageOf(error) };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function replaceFile(path: string, files: Files, how: BeginAnew['how']): Promise<void> {
  if (how === 'set-aside') await files.commit('cache.set-aside', path, `${path}.corrupt`);
  else await files.remove('cache.discard', path);
  for (const suffix of ['-wal', '-shm']) await files.remove('cache.set-aside', path + suffix);
  await files.writeAtomic('cache.make', path, '', 0o600);
}

class SqliteAnswerStore implements DiskStore {
  readonly rowBytesMax: number;
  readonly #budgetBytes: number;
  readonly #database: Database.Database;
  readonly #statements: ReturnType<typeof prepare>;
  readonly #dropped: DroppedAnswers;
  #hand = 0;
  #entries: number;

  constructor(path: string, limitBytes: number) {
    const logBytes = Math.floor(limitBytes * LOG_SHARE);
    this.rowBytesMax = Math.floor(logBytes * CHECKPOINT_SHARE);
    this.#budgetBytes = limitBytes - logBytes;
    this.#database = new Database(path, { timeout: 0 });
    try {
      this.#configure(logBytes);
      this.#statements = prepare(this.#database);
      const checkpointPages = Math.floor((logBytes * CHECKPOINT_SHARE) / PAGE_BYTES);
      this.#dropped = new DroppedAnswers(this.#database, Math.min(CHECKPOINT_PAGES_MAX, Math.max(1, checkpointPages)));
      this.#entries = this.#statements.count.get()?.count ?? 0;
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  #configure(logBytes: number): void {
    const database = this.#database;
    database.pragma('locking_mode = EXCLUSIVE');
    database.pragma(`page_size = ${PAGE_BYTES}`);
    database.pragma('auto_vacuum = INCREMENTAL');
    database.pragma('journal_mode = WAL');
    database.pragma(`journal_size_limit = ${logBytes}`);
    database.pragma('secure_delete = FAST');
    const version = database.pragma('user_version', { simple: true });
    if (version === 0) database.transaction(() => database.exec(SCHEMA))();
    else if (version !== SCHEMA_VERSION) throw new Error(`it has schema ${String(version)}`);
    database.pragma(`max_page_count = ${Math.max(16, Math.floor(this.#budgetBytes / PAGE_BYTES))}`);
  }

  get(key: Uint8Array): DiskRow | undefined {
    const row = this.#statements.get.get(key);
    if (row === undefined || this.#dropped.covers(row)) return undefined;
    const { tags, seq: _seq, ...rest } = row;
    return { ...rest, key, tags: tags === '' ? [] : tags.slice(1, -1).split('\n') };
  }

  remove(key: Uint8Array): void {
    const wasGiven = this.#dropped.isEmpty || this.get(key) !== undefined;
    const { changes } = this.#statements.remove.run(key);
    if (wasGiven) this.#entries -= changes;
  }

  write(rows: readonly DiskRow[], wasUsed: (key: Uint8Array) => boolean, clockMs: number): number {
    const before = this.#entries;
    try {
      return this.#database.transaction(() => this.#writeRows(rows, wasUsed, clockMs))();
    } catch (error) {
      this.#entries = before;
      throw error;
    }
  }

  #writeRows(rows: readonly DiskRow[], wasUsed: (key: Uint8Array) => boolean, clockMs: number): number {
    let evicted = 0;
    for (const row of rows) {
      this.remove(row.key);
      const { key, model, tags, storedMs, digest, body } = row;
      while (this.#usedBytes + roomOf(body) > this.#budgetBytes) {
        if (!this.#dropped.isEmpty) this.#dropped.purge();
        else if (this.#evictOne(wasUsed)) evicted += 1;
        else break;
      }
      const tagText = tags.length === 0 ? '' : `\n${tags.join('\n')}\n`;
      this.#statements.insert.run(key, model, tagText, storedMs, body.byteLength, digest, body);
      this.#entries += 1;
    }
    this.#statements.setFact.run('clock-ms', Math.ceil(clockMs));
    return evicted;
  }

  drop(selection: CacheSelection): number {
    const count = this.#dropped.add(selection);
    this.#entries -= count;
    return count;
  }

  purge(): boolean {
    return this.#dropped.purge();
  }

  get clockMs(): number {
    return this.#statements.getFact.get('clock-ms')?.value ?? 0;
  }

  get entries(): number {
    return this.#entries;
  }

  get sizeBytes(): number {
    return this.#usedBytes;
  }

  models(): Map<string, { entries: number; sizeBytes: number }> {
    return new Map(
      this.#statements.models.all().map(({ model, entries, sizeBytes }) => [model, { entries, sizeBytes }]),
    );
  }

  isBrokenBy(error: unknown): boolean {
    return isBrokenFile(error);
  }

  close(): void {
    // What is written back on closing is to be on disk: a device is often switched off right after.
    if (this.#database.open) this.#database.pragma('synchronous = NORMAL');
    this.#database.close();
  }

  get #usedBytes(): number {
    const pages = Number(this.#database.pragma('page_count', { simple: true }));
    const free = Number(this.#database.pragma('freelist_count', { simple: true }));
    return (pages - free) * PAGE_BYTES;
  }

  #evictOne(wasUsed: (key: Uint8Array) => boolean): boolean {
    for (;;) {
      const next = this.#statements.after.get(this.#hand) ?? this.#statements.after.get(0);
      if (next === undefined) return false;
      this.#hand = next.seq;
      if (wasUsed(next.key)) continue; // its bit is cleared now: the second round takes it
      this.#entries -= this.#statements.removeSeq.run(next.seq).changes;
      return true;
    }
  }
}

/** A row's body in whole pages, and a few for the trees. */
function roomOf(body: Uint8Array): number {
  return (Math.ceil(body.byteLength / PAGE_BYTES) + 3) * PAGE_BYTES;
}

interface StoredRow {
  readonly seq: number;
  readonly model: string;
  readonly tags: string;
  readonly storedMs: number;
  readonly digest: Uint8Array;
  readonly body: Uint8Array;
}

function prepare(database: Database.Database) {
  return {
    get: database.prepare<[Uint8Array], StoredRow>(
      'SELECT seq, model, tags, stored_ms AS storedMs, digest, body FROM answers WHERE key = ?',
    ),
    insert: database.prepare(
      'INSERT INTO answers (key, model, tags, stored_ms, size_bytes, digest, body) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ),
    remove: database.prepare('DELETE FROM answers WHERE key = ?'),
    removeSeq: database.prepare('DELETE FROM answers WHERE seq = ?'),
    after: database.prepare<[number], { seq: number; key: Uint8Array }>(
      'SELECT seq, key FROM answers WHERE seq > ? ORDER BY seq LIMIT 1',
    ),
    count: database.prepare<[], { count: number }>(`SELECT count(*) AS count FROM answers WHERE ${LIVE}`),
    models: database.prepare<[], { model: string; entries: number; sizeBytes: number }>(
      `SELECT model, count(*) AS entries, sum(size_bytes) AS sizeBytes FROM answers WHERE ${LIVE} GROUP BY model`,
    ),
    getFact: database.prepare<[string], { value: number }>('SELECT value FROM facts WHERE name = ?'),
    setFact: database.prepare(
      'INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
    ),
  };
}

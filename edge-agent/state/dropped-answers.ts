// What was dropped from the store of answers and is not overwritten yet. Overwriting a large cache takes minutes on a slow card, and whoever
// drops has the event loop meanwhile; so a drop is one small commit that outlives a power cut, from which on nothing of it is given, and the
// rows are overwritten a few at a time (`purge`).
//
// Invariant: from a drop on until all of it is overwritten and on disk, the database waits for the disk where it writes its log back
// (synchronous=NORMAL); before and after it doesn't (OFF). So no power cut brings a row back without the drop that covers it.
import type Database from 'better-sqlite3';
import type { CacheSelection } from '@tidegate/shared/cache/cache-layer.js';

export const DROPS_SCHEMA = `
  CREATE TABLE drops (id INTEGER PRIMARY KEY, model TEXT, tag TEXT, upto_seq INTEGER NOT NULL) STRICT;`;

interface Drop {
  readonly model: string | null;
  /** As rows hold tags: between line ends. */
  readonly tag: string | null;
  /** Rows up to this one; later ones were put after the drop. */
  readonly uptoSeq: number;
}

interface OpenDrop extends Drop {
  /** Rows up to here are overwritten. */
  hand: number;
}

interface RowFacts {
  readonly seq: number;
  readonly model: string;
  readonly tags: string;
}

/** More at once become one that drops all: rather too much than too little. */
const LIMIT_DROPS = 64;
/** Rows that one purge looks at, and overwrites. */
const WINDOW_ROWS = 512;
const LIMIT_PURGED_ROWS = 16;
const VACUUM_PAGES = 256;
const MATCHES = `(@model IS NULL OR model = @model) AND (@tag IS NULL OR instr(tags, @tag) > 0)`;
/** While something is to be overwritten: a wait for the disk is to be short. */
const CHECKPOINT_PAGES = 256;
/** Rows that no drop covers. */
export const LIVE = `NOT EXISTS (SELECT 1 FROM drops WHERE answers.seq <= drops.upto_seq
  AND (drops.model IS NULL OR drops.model = answers.model) AND (drops.tag IS NULL OR instr(answers.tags, drops.tag) > 0))`;

export class DroppedAnswers {
  readonly #database: Database.Database;
  readonly #checkpointPages: number;
  readonly #statements: ReturnType<typeof prepare>;
  /** Whose rows are not all overwritten. */
  #open: OpenDrop[];
  /** In the table: open, or overwritten and perhaps not on disk yet. */
  #unsettled: number;

  /** `checkpointPages`: after so many the log is written back where nothing is dropped. */
  constructor(database: Database.Database, checkpointPages: number) {
    this.#database = database;
    this.#checkpointPages = checkpointPages;
    this.#statements = prepare(database);
    this.#open = this.#statements.all.all().map((drop) => ({ ...drop, hand: 0 }));
    this.#unsettled = this.#open.length;
    this.#setMode();
  }

  /** Is this row dropped? */
  covers({ seq, model, tags }: RowFacts): boolean {
    return this.#open.some(
      (drop) =>
        seq <= drop.uptoSeq &&
        (drop.model === null || drop.model === model) &&
        (drop.tag === null || tags.includes(drop.tag)),
    );
  }

  /** No row is left of what was dropped. */
  get isEmpty(): boolean {
    return this.#open.length === 0;
  }

  /** Returns how many rows it takes that were given until now. Waits for the disk. */
  add({ model, tag }: CacheSelection): number {
    const all = this.#unsettled >= LIMIT_DROPS;
    const drop = {
      model: all ? null : (model ?? null),
      tag: all || tag === undefined ? null : `\n${tag}\n`,
      uptoSeq: this.#statements.lastSeq.get()?.seq ?? 0,
    };
    const count = this.#statements.count.get(drop)?.count ?? 0;
    if (count === 0) return 0;
    this.#database.pragma('synchronous = FULL'); // what was committed before goes to disk with it
    try {
      this.#statements.add.run(drop);
      this.#open.push({ ...drop, hand: 0 });
      this.#unsettled += 1;
    } finally {
      this.#setMode();
    }
    return count;
  }

  /** Overwrites a few rows, then gives their room back, then sees to it that all of that is on disk. Returns whether more is to do. */
  purge(): boolean {
    const [drop] = this.#open;
    if (drop !== undefined) this.#overwrite(drop);
    else if (this.#unsettled > 0) this.#settle();
    return this.#unsettled > 0;
  }

  #overwrite(drop: OpenDrop): void {
    const uptoSeq = Math.min(drop.uptoSeq, drop.hand + WINDOW_ROWS);
    const found = this.#statements.some.all({ model: drop.model, tag: drop.tag, from: drop.hand, uptoSeq });
    this.#database.pragma('secure_delete = ON');
    try {
      this.#database.transaction(() => found.forEach(({ seq }) => this.#statements.remove.run(seq)))();
    } finally {
      this.#database.pragma('secure_delete = FAST');
    }
    drop.hand = found.length < LIMIT_PURGED_ROWS ? uptoSeq : (found.at(-1)?.seq ?? uptoSeq);
    if (drop.hand >= drop.uptoSeq) this.#open.shift();
  }

  #settle(): void {
    const free = (): number => Number(this.#database.pragma('freelist_count', { simple: true }));
    const before = free();
    this.#database.pragma(`incremental_vacuum(${VACUUM_PAGES})`);
    if (free() > 0 && free() < before) return; // the next purge goes on
    this.#database.pragma('wal_checkpoint(TRUNCATE)'); // the log, too, still held what rows were
    this.#statements.forget.run();
    this.#unsettled = 0;
    this.#setMode();
  }

  #setMode(): void {
    const unsettled = this.#unsettled > 0;
    this.#database.pragma(`synchronous = ${unsettled ? 'NORMAL' : 'OFF'}`);
    const pages = unsettled ? Math.min(CHECKPOINT_PAGES, this.#checkpointPages) : this.#checkpointPages;
    this.#database.pragma(`wal_autocheckpoint = ${pages}`);
  }
}

function prepare(database: Database.Database) {
  return {
    all: database.prepare<[], Drop>('SELECT model, tag, upto_seq AS uptoSeq FROM drops ORDER BY id'),
    lastSeq: database.prepare<[], { seq: number }>('SELECT max(seq) AS seq FROM answers'),
    count: database.prepare<Drop, { count: number }>(
      `SELECT count(*) AS count FROM answers WHERE ${MATCHES} AND seq <= @uptoSeq AND ${LIVE}`,
    ),
    add: database.prepare<Drop>('INSERT INTO drops (model, tag, upto_seq) VALUES (@model, @tag, @uptoSeq)'),
    some: database.prepare<Drop & { from: number }, { seq: number }>(
      `SELECT seq FROM answers WHERE seq > @from AND seq <= @uptoSeq AND ${MATCHES} ORDER BY seq LIMIT ${LIMIT_PURGED_ROWS}`,
    ),
    remove: database.prepare<[number]>('DELETE FROM answers WHERE seq = ?'),
    forget: database.prepare('DELETE FROM drops'),
  };
}

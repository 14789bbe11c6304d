// The rows of the telemetry outbox. Its size is counted in bytes of documents; what is dropped and when is the policy of
// telemetry/outbox.ts. Space is given back to the file system after a drain (field lesson B6: iotedge's never shrank).
import type { SqliteDatabase } from './open-database.js';
import { writing } from './state-error.js';

interface OutboxRow {
  readonly seq: number;
  /** Larger is dropped later. */
  readonly priority: number;
  readonly sizeBytes: number;
  readonly document: string;
}

export class OutboxTable {
  readonly #database: SqliteDatabase;

  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  add(row: OutboxRow): void {
    writing('outbox', () =>
      this.#database
        .prepare('INSERT INTO outbox (seq, priority, size_bytes, document) VALUES (?, ?, ?, ?)')
        .run(row.seq, row.priority, row.sizeBytes, row.document),
    );
  }

  /** Sum of the documents' bytes, and how many there are. */
  size(): { readonly bytes: number; readonly count: number } {
    const row = this.#database
      .prepare<[], { bytes: number; count: number }>(
        'SELECT coalesce(sum(size_bytes), 0) AS bytes, count(*) AS count FROM outbox',
      )
      .get();
    return row ?? { bytes: 0, count: 0 };
  }

  /** Oldest first, after `seq`. */
  next(afterSeq: number, limit: number): readonly OutboxRow[] {
    return this.#database
      .prepare<[number, number], OutboxRow>(
        'SELECT seq, priority, size_bytes AS sizeBytes, document FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?',
      )
      .all(afterSeq, limit);
  }

  /** Deletes by lowest priority, then age, until at most `limitBytes` remain. Returns how many rows went. */
  dropDownTo(limitBytes: number): number {
    return writing('outbox', () =>
      this.#database.transaction(() => {
        let { bytes } = this.size();
        let dropped = 0;
        const victims = this.#database.prepare<[], { seq: number; sizeBytes: number }>(
          'SELECT seq, size_bytes AS sizeBytes FROM outbox ORDER BY priority, seq LIMIT 100',
        );
        const remove = this.#database.prepare('DELETE FROM outbox WHERE seq = ?');
        while (bytes > limitBytes) {
          for (const victim of victims.all()) {
            if (bytes <= limitBytes) break;
            remove.run(victim.seq);
            bytes -= victim.sizeBytes;
            dropped += 1;
          }
        }
        return dropped;
      })(),
    );
  }

  /** True when the row was still there: a second acknowledgement of the same seq changes nothing. */
  remove(seq: number): boolean {
    return writing('outbox', () => this.#database.prepare('DELETE FROM outbox WHERE seq = ?').run(seq).changes > 0);
  }

  /** Returns free pages to the file system. */
  shrink(): void {
    writing('outbox', () => {
      this.#database.pragma('incremental_vacuum');
      this.#database.pragma('wal_checkpoint(TRUNCATE)');
    });
  }
}

// The agent's own memory, in one SQLite file: what the hub asked for, what runs, how far each activation came, what is still
// to be sent. Calls are synchronous and small; what they wrote is on disk when they return. Losing the file loses nothing
// that signed files on disk and the hub can't give back (field lesson B24).
import { join } from 'node:path';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { Activations } from './activations.js';
import { Documents } from './documents.js';
import { openDatabase, openToRead, type SqliteDatabase } from './open-database.js';
import { OutboxTable } from './outbox-table.js';
import { StateError } from './state-error.js';

export class AgentState {
  readonly documents: Documents;
  readonly activations: Activations;
  readonly outbox: OutboxTable;
  /** Why the database of the last run was set aside; undefined when it was sound. */
  readonly rebuiltBecause: string | undefined;
  readonly #database: SqliteDatabase;

  private constructor(database: SqliteDatabase, rebuiltBecause: string | undefined) {
    this.#database = database;
    this.rebuiltBecause = rebuiltBecause;
    this.documents = new Documents(database);
    this.activations = new Activations(database);
    this.outbox = new OutboxTable(database);
  }

  /**
   * Opens `<dataDir>/state.db`, or makes it. Each start counts its sequence numbers from the clock's milliseconds at least, so that
   * neither a rebuilt database nor one that missed a run (its volume was read-only) repeats numbers that the hub has seen and would
   * ignore.
   */
  static async open(dataDir: string, modules: { files: Files; log: Log; clock: Clock }): Promise<AgentState> {
    const { database, rebuiltBecause, fresh } = await openDatabase(join(dataDir, 'state.db'), modules);
    const state = new AgentState(database, rebuiltBecause);
    const first = Math.max(0, Math.floor(modules.clock.nowMs()));
    try {
      state.documents.raise('report-seq', first);
      state.documents.raise('telemetry-seq', first);
    } catch (error) {
      if (fresh || !(error instanceof StateError)) throw error; // else the disk is full: they go on from where they were
    }
    return state;
  }

  /** What a stopped agent left, as it lies there. Throws where there is none, or none that this release can read. */
  static openToRead(dataDir: string): AgentState {
    const database = openToRead(join(dataDir, 'state.db'));
    try {
      return new AgentState(database, undefined);
    } catch (cause) {
      database.close();
      throw cause;
    }
  }

  close(): void {
    this.#database.close();
  }
}

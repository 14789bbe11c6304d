// Tables of the rollouts. A rollout's whole progress stands here: a hub that restarts at any moment goes on from the row.
import type { Generated, Kysely, Migration } from 'kysely';

export interface RolloutTables {
  rollouts: {
    id: string;
    model: string;
    version: number;
    version_digest: string;
    group_name: string;
    state: 'running' | 'paused' | 'completed' | 'halted' | 'aborted';
    reason: string;
    /** Index of the current wave, from 0. */
    wave: number;
    /** JSON: [{ share, startedAt? }]. */
    waves: string;
    /** JSON of GatePolicy. */
    policy: string;
    probation_ms: number;
    rolled_back: number;
    /** JSON of the last evidence judged, for people. */
    evidence: string | null;
    created_at: string;
    updated_at: string;
    /** Of a request that may be sent again: whose it was, under which key of theirs, and what it asked for. */
    requested_by: Generated<string | null>;
    request_key: Generated<string | null>;
    request_digest: Generated<string | null>;
  };
  rollout_devices: { rollout_id: string; device_id: string; wave: number };
}

export const rolloutMigration: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    await db.schema
      .createTable('rollouts')
      .addColumn('id', 'text', (c) => c.primaryKey())
      .addColumn('model', 'text', (c) => c.notNull())
      .addColumn('version', 'integer', (c) => c.notNull())
      .addColumn('version_digest', 'text', (c) => c.notNull())
      .addColumn('group_name', 'text', (c) => c.notNull())
      .addColumn('state', 'text', (c) => c.notNull())
      .addColumn('reason', 'text', (c) => c.notNull())
      .addColumn('wave', 'integer', (c) => c.notNull())
      .addColumn('waves', 'text', (c) => c.notNull())
      .addColumn('policy', 'text', (c) => c.notNull())
      .addColumn('probation_ms', 'integer', (c) => c.notNull())
      .addColumn('rolled_back', 'integer', (c) => c.notNull().defaultTo(0))
      .addColumn('evidence', 'text')
      .addColumn('created_at', 'text', (c) => c.notNull())
      .addColumn('updated_at', 'text', (c) => c.notNull())
      .execute();
    await db.schema.createIndex('rollouts_state').on('rollouts').columns(['state', 'group_name', 'model']).execute();
    await db.schema
      .createTable('rollout_devices')
      .addColumn('rollout_id', 'text', (c) => c.notNull())
      .addColumn('device_id', 'text', (c) => c.notNull())
      .addColumn('wave', 'integer', (c) => c.notNull())
      .addPrimaryKeyConstraint('rollout_devices_key', ['rollout_id', 'device_id'])
      .execute();
  },
};

export const rolloutKeysMigration: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    for (const column of ['requested_by', 'request_key', 'request_digest'])
      await db.schema.alterTable('rollouts').addColumn(column, 'text').execute();
    await db.schema
      .createIndex('rollouts_request')
      .on('rollouts')
      .columns(['requested_by', 'request_key'])
      .unique()
      .execute();
  },
};

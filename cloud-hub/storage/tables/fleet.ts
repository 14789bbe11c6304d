// Tables of the fleet: devices, what a group should run, settings of a group, and what devices measured.
import type { Kysely, Migration } from 'kysely';

export interface FleetTables {
  devices: {
    id: string;
    name: string;
    group_name: string;
    certificate_serial: string;
    public_key_fingerprint: string;
    enrolled_at: string;
    last_seen_at: string | null;
    online: number;
    connection_id: string | null;
    /** JSON of ReportedState, the newest by seq. */
    reported: string | null;
    reported_seq: number;
    /** JSON of DesiredState; its version is desired_version. */
    desired: string;
    desired_version: number;
    revoked: number;
  };
  group_targets: { group_name: string; model: string; version: number; probation_ms: number };
  /** A device that a rollout has moved off its group's target. */
  device_targets: { device_id: string; model: string; version: number; probation_ms: number; rollout_id: string };
  group_config: { group_name: string; telemetry_interval_ms: number };
  telemetry_records: { device_id: string; seq: number; received_at_ms: number; events: string };
  evidence: {
    device_id: string;
    seq: number;
    received_at_ms: number;
    model: string;
    version_digest: string;
    variant_digest: string;
    requests: number;
    errors: number;
    cache_hits: number;
    hub_answers: number;
    latency_buckets: string;
    confidence_count: number;
    confidence_sum: number;
    confidence_sum_of_squares: number;
  };
}

export const fleetMigration: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    await db.schema
      .createTable('devices')
      .addColumn('id', 'text', (c) => c.primaryKey())
      .addColumn('name', 'text', (c) => c.notNull().unique())
      .addColumn('group_name', 'text', (c) => c.notNull())
      .addColumn('certificate_serial', 'text', (c) => c.notNull())
      .addColumn('public_key_fingerprint', 'text', (c) => c.notNull())
      .addColumn('enrolled_at', 'text', (c) => c.notNull())
      .addColumn('last_seen_at', 'text')
      .addColumn('online', 'integer', (c) => c.notNull().defaultTo(0))
      .addColumn('connection_id', 'text')
      .addColumn('reported', 'text')
      .addColumn('reported_seq', 'integer', (c) => c.notNull().defaultTo(-1))
      .addColumn('desired', 'text', (c) => c.notNull())
      .addColumn('desired_version', 'integer', (c) => c.notNull().defaultTo(0))
      .addColumn('revoked', 'integer', (c) => c.notNull().defaultTo(0))
      .execute();
    await db.schema.createIndex('devices_group').on('devices').columns(['group_name', 'id']).execute();
    await db.schema
      .createTable('group_targets')
      .addColumn('group_name', 'text', (c) => c.notNull())
      .addColumn('model', 'text', (c) => c.notNull())
      .addColumn('version', 'integer', (c) => c.notNull())
      .addColumn('probation_ms', 'integer', (c) => c.notNull())
      .addPrimaryKeyConstraint('group_targets_key', ['group_name', 'model'])
      .execute();
    await db.schema
      .createTable('device_targets')
      .addColumn('device_id', 'text', (c) => c.notNull())
      .addColumn('model', 'text', (c) => c.notNull())
      .addColumn('version', 'integer', (c) => c.notNull())
      .addColumn('probation_ms', 'integer', (c) => c.notNull())
      .addColumn('rollout_id', 'text', (c) => c.notNull())
      .addPrimaryKeyConstraint('device_targets_key', ['device_id', 'model'])
      .execute();
    await db.schema
      .createTable('group_config')
      .addColumn('group_name', 'text', (c) => c.primaryKey())
      .addColumn('telemetry_interval_ms', 'integer', (c) => c.notNull())
      .execute();
    await createTelemetryTables(db);
  },
};

async function createTelemetryTables(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('telemetry_records')
    .addColumn('device_id', 'text', (c) => c.notNull())
    .addColumn('seq', 'integer', (c) => c.notNull())
    .addColumn('received_at_ms', 'integer', (c) => c.notNull())
    .addColumn('events', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('telemetry_records_key', ['device_id', 'seq'])
    .execute();
  await db.schema
    .createTable('evidence')
    .addColumn('device_id', 'text', (c) => c.notNull())
    .addColumn('seq', 'integer', (c) => c.notNull())
    .addColumn('received_at_ms', 'integer', (c) => c.notNull())
    .addColumn('model', 'text', (c) => c.notNull())
    .addColumn('version_digest', 'text', (c) => c.notNull())
    .addColumn('variant_digest', 'text', (c) => c.notNull())
    .addColumn('requests', 'integer', (c) => c.notNull())
    .addColumn('errors', 'integer', (c) => c.notNull())
    .addColumn('cache_hits', 'integer', (c) => c.notNull())
    .addColumn('hub_answers', 'integer', (c) => c.notNull())
    .addColumn('latency_buckets', 'text', (c) => c.notNull())
    .addColumn('confidence_count', 'integer', (c) => c.notNull())
    .addColumn('confidence_sum', 'real', (c) => c.notNull())
    .addColumn('confidence_sum_of_squares', 'real', (c) => c.notNull())
    .addPrimaryKeyConstraint('evidence_key', ['device_id', 'seq', 'model', 'variant_digest'])
    .execute();
  await db.schema.createIndex('evidence_model').on('evidence').columns(['model', 'received_at_ms']).execute();
}

// The fleet: who the devices are, what each should run, what each says it runs, and what it measured. Documents go out as
// wholes with a version that only grows; reports are kept newest by seq; telemetry is idempotent by seq: a message that
// comes twice, late or out of order changes nothing (Guarantees).
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { Device } from '@tidegate/shared/wire/admin-api.js';
import { desiredStateSchema, type DesiredModel, type DesiredState } from '@tidegate/shared/wire/desired-state.js';
import type { DeviceClass } from '@tidegate/shared/wire/device-class.js';
import type { Presence } from '@tidegate/shared/wire/device-api.js';
import { reportedStateSchema, type ReportedState } from '@tidegate/shared/wire/reported-state.js';
import { telemetryRecordSchema, type TelemetryRecord } from '@tidegate/shared/wire/telemetry.js';
import type { Selectable } from 'kysely';
import type { Registry } from '../registry/registry.js';
import type { RecordAudit } from '../security/audit.js';
import type { Database, Tables } from '../storage/database.js';
import { effectiveTargets, nextDesired, type Target } from './desired-document.js';
import type { DesiredPublisher, EnrolledDevice, Fleet } from './fleet.js';
import { FleetError } from './fleet-error.js';

export const DEFAULT_TELEMETRY_INTERVAL_MS = 60_000;
/** Evidence is kept this long; a rollout's control never looks further back. */
const EVIDENCE_KEPT_MS = 7 * 24 * 3_600_000;

interface FleetModules {
  readonly db: Database;
  readonly registry: Pick<Registry, 'variantFor'>;
  readonly publisher: DesiredPublisher;
  readonly audit: RecordAudit;
  readonly clock: Clock;
  readonly log: Log;
  /** Called after a device's row changed, with the whole device. */
  readonly onDevice: (device: Device) => void;
}

interface RecentTelemetry {
  readonly seq: number;
  readonly receivedAt: string;
  readonly requests: number;
  readonly errors: number;
  readonly events: TelemetryRecord['events'];
}

type DeviceRow = Selectable<Tables['devices']>;

export class FleetService implements Fleet {
  readonly #m: FleetModules;
  /** Reconciliations run one after the other, so that two never compute a document from half of the other's change. */
  #reconciling: Promise<void> = Promise.resolve();

  constructor(modules: FleetModules) {
    this.#m = modules;
  }

  async enrolled(device: EnrolledDevice): Promise<void> {
    const now = new Date(this.#m.clock.nowMs()).toISOString();
    const desired: DesiredState = {
      deviceId: device.id,
      version: 0,
      models: [],
      config: { telemetryIntervalMs: await this.#telemetryIntervalMs(device.group) },
    };
    await this.#m.db.transaction().execute(async (tx) => {
      const taken = await tx.selectFrom('devices').select('id').where('name', '=', device.name).executeTakeFirst();
      if (taken !== undefined && taken.id !== device.id) {
        throw new FleetError('duplicate-name', `a device named ${device.name} exists`);
      }
      await tx
        .insertInto('devices')
        .values({
          id: device.id,
          name: device.name,
          group_name: device.group,
          certificate_serial: device.certificateSerial,
          public_key_fingerprint: device.publicKeyFingerprint,
          enrolled_at: now,
          last_seen_at: null,
          online: 0,
          connection_id: null,
          reported: null,
          reported_seq: -1,
          desired: JSON.stringify(desired),
          desired_version: 0,
          revoked: 0,
        })
        .onConflict((c) =>
          c.column('id').doUpdateSet({
            name: device.name,
            group_name: device.group,
            certificate_serial: device.certificateSerial,
            revoked: 0,
          }),
        )
        .execute();
      await this.#m.audit(
        tx,
        { actor: `device:${device.id}`, action: 'device.enrol', subject: device.id, detail: { group: device.group } },
        this.#m.clock.nowMs(),
      );
    });
    await this.reconcile([device.id]); // another token may have moved it to another group
    await this.#announce(device.id);
  }

  /** At the hub's start nobody is connected: wills of connections that the last process held were lost with it. */
  async start(): Promise<void> {
    await this.#m.db.updateTable('devices').set({ online: 0, connection_id: null }).execute();
  }

  /** Takes a device out of every rollout and group. The transports shut it out on their own. False for an unknown one. */
  async revoked(deviceId: string): Promise<boolean> {
    const { numUpdatedRows } = await this.#m.db
      .updateTable('devices')
      .set({ revoked: 1, online: 0 })
      .where('id', '=', deviceId)
      .executeTakeFirst();
    await this.#m.db.deleteFrom('device_targets').where('device_id', '=', deviceId).execute();
    await this.#announce(deviceId);
    return numUpdatedRows > 0n;
  }

  async desired(deviceId: string): Promise<DesiredState | undefined> {
    const row = await this.#row(deviceId);
    if (row === undefined || row.revoked !== 0) return undefined;
    await this.#seen(deviceId);
    return desiredStateSchema.parse(JSON.parse(row.desired));
  }

  async reported(deviceId: string, report: ReportedState): Promise<void> {
    const row = await this.#row(deviceId);
    if (row === undefined) throw new FleetError('unknown-device', `no device ${deviceId}`);
    const updated = await this.#m.db
      .updateTable('devices')
      .set({ reported: JSON.stringify(report), reported_seq: report.seq })
      .where('id', '=', deviceId)
      .where('reported_seq', '<', report.seq)
      .executeTakeFirst();
    await this.#seen(deviceId);
    if (updated.numUpdatedRows === 0n) return; // older or equal: the hub already knows better
    const before = row.reported === null ? undefined : reportedStateSchema.parse(JSON.parse(row.reported));
    if (JSON.stringify(before?.deviceClass) !== JSON.stringify(report.deviceClass)) {
      await this.reconcile([deviceId]); // the class decides the variants
    }
    await this.#announce(deviceId);
  }

  async telemetry(deviceId: string, record: TelemetryRecord): Promise<void> {
    const nowMs = this.#m.clock.nowMs();
    await this.#m.db.transaction().execute(async (tx) => {
      const inserted = await tx
        .insertInto('telemetry_records')
        .values({ device_id: deviceId, seq: record.seq, received_at_ms: nowMs, events: JSON.stringify(record.events) })
        .onConflict((c) => c.columns(['device_id', 'seq']).doNothing())
        .executeTakeFirst();
      if (inserted.numInsertedOrUpdatedRows !== 1n || record.evidence.length === 0) return;
      await tx
        .insertInto('evidence')
        .values(
          record.evidence.map((e) => ({
            device_id: deviceId,
            seq: record.seq,
            received_at_ms: nowMs,
            model: e.model,
            version_digest: e.versionDigest,
            variant_digest: e.variantDigest,
            requests: e.requests,
            errors: e.errors,
            cache_hits: e.cacheHits,
            hub_answers: e.hubAnswers,
            latency_buckets: JSON.stringify(e.latencyBuckets),
            confidence_count: e.confidenceCount,
            confidence_sum: e.confidenceSum,
            confidence_sum_of_squares: e.confidenceSumOfSquares,
          })),
        )
        .onConflict((c) => c.doNothing())
        .execute();
    });
    await this.#seen(deviceId);
  }

  async presence(deviceId: string, presence: Presence): Promise<void> {
    const query = this.#m.db.updateTable('devices').where('id', '=', deviceId);
    if (presence.online) {
      await query.set({ online: 1, connection_id: presence.connectionId }).execute();
      await this.#seen(deviceId);
    } else {
      // A late will of an earlier connection must not mark the present one as gone.
      await query.set({ online: 0 }).where('connection_id', '=', presence.connectionId).execute();
    }
    await this.#announce(deviceId);
  }

  async device(id: string): Promise<Device | undefined> {
    const row = await this.#m.db
      .selectFrom('devices')
      .selectAll()
      .where((eb) => eb.or([eb('id', '=', id), eb('name', '=', id)]))
      .executeTakeFirst();
    return row === undefined ? undefined : toDevice(row);
  }

  async devices(query: {
    group?: string;
    limit: number;
    cursor?: string;
  }): Promise<{ items: Device[]; nextCursor?: string }> {
    let select = this.#m.db
      .selectFrom('devices')
      .selectAll()
      .orderBy('id')
      .limit(query.limit + 1);
    if (query.group !== undefined) select = select.where('group_name', '=', query.group);
    if (query.cursor !== undefined) select = select.where('id', '>', query.cursor);
    const rows = await select.execute();
    const items = rows.slice(0, query.limit).map(toDevice);
    const last = items.at(-1);
    return rows.length > query.limit && last !== undefined ? { items, nextCursor: last.id } : { items };
  }

  /** Of those that were not shut out, those that report a provider that failed. */
  async devicesFallenBack(): Promise<Device[]> {
    const select = this.#m.db.selectFrom('devices').selectAll().where('revoked', '=', 0);
    return (await select.where('reported', 'like', '%"providerReason"%').execute()).map(toDevice);
  }

  /** The newest records of a device, newest first. */
  async recentTelemetry(deviceId: string, limit = 50): Promise<RecentTelemetry[]> {
    const records = await this.#m.db
      .selectFrom('telemetry_records')
      .selectAll()
      .where('device_id', '=', deviceId)
      .orderBy('seq', 'desc')
      .limit(limit)
      .execute();
    const sums = await this.#m.db
      .selectFrom('evidence')
      .select(({ fn }) => ['seq', fn.sum<number>('requests').as('requests'), fn.sum<number>('errors').as('errors')])
      .where('device_id', '=', deviceId)
      .where(
        'seq',
        'in',
        records.map((record) => record.seq),
      )
      .groupBy('seq')
      .execute();
    const bySeq = new Map(sums.map((sum) => [sum.seq, sum]));
    return records.map((record) => ({
      seq: record.seq,
      receivedAt: new Date(record.received_at_ms).toISOString(),
      requests: Number(bySeq.get(record.seq)?.requests ?? 0),
      errors: Number(bySeq.get(record.seq)?.errors ?? 0),
      events: telemetryRecordSchema.shape.events.parse(JSON.parse(record.events)),
    }));
  }

  /** Sets the group's settings and brings its devices' documents up to date. */
  async configureGroup(group: string, config: DesiredState['config'], actor: string): Promise<void> {
    await this.#m.db.transaction().execute(async (tx) => {
      const row = { group_name: group, telemetry_interval_ms: config.telemetryIntervalMs };
      await tx
        .insertInto('group_config')
        .values(row)
        .onConflict((c) => c.column('group_name').doUpdateSet(row))
        .execute();
      await this.#m.audit(
        tx,
        { actor, action: 'group.configure', subject: group, detail: config },
        this.#m.clock.nowMs(),
      );
    });
    const rows = await this.#m.db.selectFrom('devices').select('id').where('group_name', '=', group).execute();
    await this.reconcile(rows.map((row) => row.id));
  }

  /** Drops evidence that nobody will look at any more. */
  async prune(): Promise<void> {
    const beforeMs = this.#m.clock.nowMs() - EVIDENCE_KEPT_MS;
    await this.#m.db.deleteFrom('evidence').where('received_at_ms', '<', beforeMs).execute();
    await this.#m.db.deleteFrom('telemetry_records').where('received_at_ms', '<', beforeMs).execute();
  }

  /** Recomputes the desired documents of these devices and publishes those that changed. */
  reconcile(deviceIds: readonly string[]): Promise<void> {
    const run = this.#reconciling.then(() => this.#reconcileNow(deviceIds));
    this.#reconciling = run.catch(() => undefined); // the caller sees the error; the queue goes on
    return run;
  }

  async #reconcileNow(deviceIds: readonly string[]): Promise<void> {
    for (const id of deviceIds) {
      const row = await this.#row(id);
      if (row === undefined || row.revoked !== 0) continue;
      const next = await this.#next(row);
      if (next === undefined) continue;
      await this.#m.db
        .updateTable('devices')
        .set({ desired: JSON.stringify(next), desired_version: next.version })
        .where('id', '=', id)
        .execute();
      try {
        await this.#m.publisher.publish(id, next);
      } catch (error) {
        this.#m.log.warn(
          { deviceId: id, error: String(error) },
          'desired state not pushed; the device will ask for it',
        );
      }
      await this.#announce(id);
    }
  }

  async #next(row: DeviceRow): Promise<DesiredState | undefined> {
    const current = desiredStateSchema.parse(JSON.parse(row.desired));
    const config = { telemetryIntervalMs: await this.#telemetryIntervalMs(row.group_name) };
    const deviceClass = classOf(row);
    // Before its first report nobody knows the device's class, so nobody can choose a variant.
    if (deviceClass === undefined) return nextDesired(current, current.models, config);
    const models: DesiredModel[] = [];
    for (const target of await this.#targets(row)) {
      const stored = await this.#m.registry.variantFor(target.model, target.version, deviceClass);
      models.push({
        name: target.model,
        version: target.version,
        versionDigest: stored.versionDigest,
        variant: stored.variant,
        variantDigest: stored.variantDigest,
        sizeBytes: stored.sizeBytes,
        privacy: stored.privacy,
        ...(target.rolloutId === undefined ? {} : { rolloutId: target.rolloutId }),
        probationMs: target.probationMs,
      });
    }
    return nextDesired(current, models, config);
  }

  async #targets(row: DeviceRow): Promise<Target[]> {
    const group = await this.#m.db
      .selectFrom('group_targets')
      .selectAll()
      .where('group_name', '=', row.group_name)
      .execute();
    const device = await this.#m.db.selectFrom('device_targets').selectAll().where('device_id', '=', row.id).execute();
    return effectiveTargets(
      group.map((t) => ({ model: t.model, version: t.version, probationMs: t.probation_ms })),
      device.map((t) => ({ model: t.model, version: t.version, probationMs: t.probation_ms, rolloutId: t.rollout_id })),
    );
  }

  async #telemetryIntervalMs(group: string): Promise<number> {
    const row = await this.#m.db
      .selectFrom('group_config')
      .select('telemetry_interval_ms')
      .where('group_name', '=', group)
      .executeTakeFirst();
    return row?.telemetry_interval_ms ?? DEFAULT_TELEMETRY_INTERVAL_MS;
  }

  #row(id: string): Promise<DeviceRow | undefined> {
    return this.#m.db.selectFrom('devices').selectAll().where('id', '=', id).executeTakeFirst();
  }

  async #seen(id: string): Promise<void> {
    await this.#m.db
      .updateTable('devices')
      .set({ last_seen_at: new Date(this.#m.clock.nowMs()).toISOString() })
      .where('id', '=', id)
      .execute();
  }

  async #announce(id: string): Promise<void> {
    const device = await this.device(id);
    if (device !== undefined) this.#m.onDevice(device);
  }
}

function classOf(row: DeviceRow): DeviceClass | undefined {
  return row.reported === null ? undefined : reportedStateSchema.parse(JSON.parse(row.reported)).deviceClass;
}

function toDevice(row: DeviceRow): Device {
  const reported = row.reported === null ? undefined : reportedStateSchema.parse(JSON.parse(row.reported));
  return {
    id: row.id,
    name: row.name,
    group: row.group_name,
    online: row.online !== 0,
    revoked: row.revoked !== 0,
    ...(row.last_seen_at === null ? {} : { lastSeenAt: row.last_seen_at }),
    enrolledAt: row.enrolled_at,
    desiredVersion: row.desired_version,
    ...(reported === undefined
      ? {}
      : {
          agentVersion: reported.agentVersion,
          deviceClass: reported.deviceClass,
          reportedDesiredVersion: reported.desiredVersion,
        }),
    models: reported?.models ?? [],
  };
}

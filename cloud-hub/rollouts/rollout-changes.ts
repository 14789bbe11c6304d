// The changes that a rollout makes, each one transaction with its audit row: begin, advance, complete, end, place newcomers.
// The devices whose targets changed are returned; the caller brings their documents up to date afterwards.
import type { Transaction } from 'kysely';
import type { RecordAudit } from '../security/audit.js';
import type { Database, Tables } from '../storage/database.js';
import { RolloutError } from './rollout-error.js';
import {
  insertRollout,
  rolloutDevices,
  updateRollout,
  type RolloutChange,
  type RolloutKey,
  type RolloutRecord,
} from './rollout-store.js';
import { devicesOfWave } from './rollout-view.js';
import { assignWaves, waveOfNewcomer } from './waves.js';

export const SYSTEM = 'system:rollouts';

interface ChangeModules {
  readonly db: Database;
  readonly audit: RecordAudit;
}

type Evidence = NonNullable<RolloutRecord['evidence']>;

/** Devices that may be given a version: of the group, not revoked. */
export async function devicesOfGroup(db: Database, group: string): Promise<string[]> {
  const rows = await db
    .selectFrom('devices')
    .select('id')
    .where('group_name', '=', group)
    .where('revoked', '=', 0)
    .execute();
  return rows.map((row) => row.id);
}

/** Throws RolloutError `conflict` where a rollout of the model in the group is not finished. */
export async function begin(
  { db, audit }: ChangeModules,
  record: RolloutRecord,
  devices: readonly string[],
  actor: string,
  asked?: RolloutKey,
): Promise<string[]> {
  const shares = record.waves.map((wave) => wave.share);
  const assigned = assignWaves(devices, record.versionDigest, shares);
  const first = devicesOfWave(assigned, 0);
  await db.transaction().execute(async (tx) => {
    const open = await tx
      .selectFrom('rollouts')
      .select('id')
      .where('group_name', '=', record.group)
      .where('model', '=', record.model)
      .where('state', 'in', ['running', 'paused'])
      .executeTakeFirst();
    if (open !== undefined) {
      const what = `${record.model} in group ${record.group}`;
      throw new RolloutError('conflict', `rollout ${open.id} of ${what} is not finished; abort it first`);
    }
    await insertRollout(tx, record, asked);
    for (const [deviceId, wave] of assigned) {
      await tx.insertInto('rollout_devices').values({ rollout_id: record.id, device_id: deviceId, wave }).execute();
    }
    await assign(tx, record, first);
    const detail = { id: record.id, group: record.group, waves: shares };
    const subject = `${record.model}@${record.version}`;
    await audit(tx, { actor, action: 'rollout.start', subject, detail }, Date.parse(record.createdAt));
  });
  return first;
}

/** The next wave begins. */
export async function advance(
  { db, audit }: ChangeModules,
  record: RolloutRecord,
  why: string,
  evidence: Evidence,
  nowMs: number,
): Promise<string[]> {
  const wave = record.wave + 1;
  const waves = record.waves.map((w, i) => (i === wave ? { ...w, startedAtMs: nowMs } : w));
  const reason = `wave ${wave + 1} of ${waves.length} begins: ${why}`;
  const devices = devicesOfWave(await rolloutDevices(db, record.id), wave);
  await db.transaction().execute(async (tx) => {
    await updateRollout(tx, record.id, { wave, waves, reason, evidence }, nowMs);
    await assign(tx, record, devices);
    await auditStep(audit, tx, record, 'rollout.advance', reason, nowMs, SYSTEM);
  });
  return devices;
}

/** The version becomes the group's own; the devices' own targets go. */
export async function complete(
  { db, audit }: ChangeModules,
  record: RolloutRecord,
  why: string,
  evidence: Evidence,
  nowMs: number,
): Promise<string[]> {
  const row = {
    group_name: record.group,
    model: record.model,
    version: record.version,
    probation_ms: record.probationMs,
  };
  await db.transaction().execute(async (tx) => {
    await tx
      .insertInto('group_targets')
      .values(row)
      .onConflict((c) => c.columns(['group_name', 'model']).doUpdateSet(row))
      .execute();
    await tx.deleteFrom('device_targets').where('rollout_id', '=', record.id).execute();
    await updateRollout(tx, record.id, { state: 'completed', reason: `completed: ${why}`, evidence }, nowMs);
    await auditStep(audit, tx, record, 'rollout.complete', why, nowMs, SYSTEM);
  });
  return [...(await rolloutDevices(db, record.id)).keys()];
}

/** Halts or aborts: the devices' own targets go, so the group's version is theirs again. */
export async function end(
  { db, audit }: ChangeModules,
  record: RolloutRecord,
  change: RolloutChange & { state: 'halted' | 'aborted'; reason: string },
  nowMs: number,
  actor: string,
): Promise<string[]> {
  await db.transaction().execute(async (tx) => {
    await tx.deleteFrom('device_targets').where('rollout_id', '=', record.id).execute();
    await updateRollout(tx, record.id, change, nowMs);
    const action = change.state === 'halted' ? 'rollout.halt' : 'rollout.abort';
    await auditStep(audit, tx, record, action, change.reason, nowMs, actor);
  });
  return [...(await rolloutDevices(db, record.id)).keys()];
}

/** Pauses or resumes. */
export async function setState(
  { db, audit }: ChangeModules,
  record: RolloutRecord,
  change: { state: 'running' | 'paused'; reason: string },
  nowMs: number,
  actor: string,
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    await updateRollout(tx, record.id, change, nowMs);
    const action = change.state === 'paused' ? 'rollout.pause' : 'rollout.resume';
    await auditStep(audit, tx, record, action, change.reason, nowMs, actor);
  });
}

/** Gives devices that joined the group since then their wave; returns those whose wave has begun. */
export async function placeNewcomers({ db }: ChangeModules, record: RolloutRecord): Promise<string[]> {
  const known = await rolloutDevices(db, record.id);
  const newcomers = (await devicesOfGroup(db, record.group)).filter((id) => !known.has(id));
  if (newcomers.length === 0) return [];
  const shares = record.waves.map((wave) => wave.share);
  const started: string[] = [];
  await db.transaction().execute(async (tx) => {
    for (const deviceId of newcomers) {
      const wave = waveOfNewcomer(deviceId, record.versionDigest, shares);
      await tx.insertInto('rollout_devices').values({ rollout_id: record.id, device_id: deviceId, wave }).execute();
      if (wave <= record.wave) started.push(deviceId);
    }
    await assign(tx, record, started);
  });
  return started;
}

async function assign(tx: Transaction<Tables>, record: RolloutRecord, devices: readonly string[]): Promise<void> {
  for (const deviceId of devices) {
    const row = {
      device_id: deviceId,
      model: record.model,
      version: record.version,
      probation_ms: record.probationMs,
      rollout_id: record.id,
    };
    await tx
      .insertInto('device_targets')
      .values(row)
      .onConflict((c) => c.columns(['device_id', 'model']).doUpdateSet(row))
      .execute();
  }
}

async function auditStep(
  audit: RecordAudit,
  tx: Transaction<Tables>,
  record: RolloutRecord,
  action: string,
  reason: string,
  nowMs: number,
  actor: string,
): Promise<void> {
  const subject = `${record.model}@${record.version}`;
  await audit(tx, { actor, action, subject, detail: { id: record.id, reason } }, nowMs);
}

// Rollouts in the database: rows in, rows out, and the evidence that the gate asks for. No decision is made here.
import type { GatePolicy } from '@tidegate/shared/wire/admin-api.js';
import { gatePolicySchema } from '@tidegate/shared/wire/admin-api.js';
import { reportedStateSchema } from '@tidegate/shared/wire/reported-state.js';
import type { Selectable, Transaction } from 'kysely';
import { z } from 'zod';
import type { Database, Tables } from '../storage/database.js';
import type { DeviceView } from './device-progress.js';
import { mergeStats, NO_STATS, type VersionStats } from './statistics.js';

type Db = Database | Transaction<Tables>;

const waveRecordSchema = z.object({ share: z.number(), startedAtMs: z.number().optional() });
type WaveRecord = z.infer<typeof waveRecordSchema>;

export interface RolloutRecord {
  readonly id: string;
  readonly model: string;
  readonly version: number;
  readonly versionDigest: string;
  readonly group: string;
  readonly state: Tables['rollouts']['state'];
  readonly reason: string;
  readonly wave: number;
  readonly waves: readonly WaveRecord[];
  readonly policy: GatePolicy;
  readonly probationMs: number;
  readonly rolledBack: boolean;
  readonly evidence: { canary: Record<string, number>; control: Record<string, number> } | undefined;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export type RolloutChange = Partial<
  Pick<RolloutRecord, 'state' | 'reason' | 'wave' | 'waves' | 'rolledBack' | 'evidence'>
>;

/** A request that its client may send again. */
export interface RolloutKey {
  readonly actor: string;
  readonly key: string;
  /** Of what it asks for. */
  readonly digest: string;
}

export async function insertRollout(db: Db, rollout: RolloutRecord, asked?: RolloutKey): Promise<void> {
  await db
    .insertInto('rollouts')
    .values({
      id: rollout.id,
      model: rollout.model,
      version: rollout.version,
      version_digest: rollout.versionDigest,
      group_name: rollout.group,
      state: rollout.state,
      reason: rollout.reason,
      wave: rollout.wave,
      waves: JSON.stringify(rollout.waves),
      policy: JSON.stringify(rollout.policy),
      probation_ms: rollout.probationMs,
      rolled_back: rollout.rolledBack ? 1 : 0,
      evidence: null,
      created_at: rollout.createdAt,
      updated_at: rollout.updatedAt,
      ...(asked === undefined
        ? {}
        : { requested_by: asked.actor, request_key: asked.key, request_digest: asked.digest }),
    })
    .execute();
}

export async function updateRollout(db: Db, id: string, change: RolloutChange, nowMs: number): Promise<void> {
  await db
    .updateTable('rollouts')
    .set({
      ...(change.state === undefined ? {} : { state: change.state }),
      ...(change.reason === undefined ? {} : { reason: change.reason }),
      ...(change.wave === undefined ? {} : { wave: change.wave }),
      ...(change.waves === undefined ? {} : { waves: JSON.stringify(change.waves) }),
      ...(change.rolledBack === undefined ? {} : { rolled_back: change.rolledBack ? 1 : 0 }),
      ...(change.evidence === undefined ? {} : { evidence: JSON.stringify(change.evidence) }),
      updated_at: new Date(nowMs).toISOString(),
    })
    .where('id', '=', id)
    .execute();
}

export async function findRollout(db: Db, id: string): Promise<RolloutRecord | undefined> {
  const row = await db.selectFrom('rollouts').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? undefined : toRecord(row);
}

/** The rollout that a request under this key has made, and whether it asked for the same. */
export async function rolloutOfKey(
  db: Db,
  { actor, key, digest }: RolloutKey,
): Promise<{ readonly id: string; readonly same: boolean } | undefined> {
  const row = await db
    .selectFrom('rollouts')
    .select(['id', 'request_digest'])
    .where('requested_by', '=', actor)
    .where('request_key', '=', key)
    .executeTakeFirst();
  return row === undefined ? undefined : { id: row.id, same: row.request_digest === digest };
}

/** Rollouts that the controller has to look at: under way, or ended with devices that still have to go back. */
export async function openRollouts(db: Db): Promise<RolloutRecord[]> {
  const rows = await db
    .selectFrom('rollouts')
    .selectAll()
    .where((eb) =>
      eb.or([
        eb('state', 'in', ['running', 'paused']),
        eb.and([eb('state', 'in', ['halted', 'aborted']), eb('rolled_back', '=', 0)]),
      ]),
    )
    .orderBy('created_at')
    .execute();
  return rows.map(toRecord);
}

export async function listRollouts(db: Db, limit: number, beforeId?: string): Promise<RolloutRecord[]> {
  let query = db.selectFrom('rollouts').selectAll().orderBy('id', 'desc').limit(limit);
  if (beforeId !== undefined) query = query.where('id', '<', beforeId);
  return (await query.execute()).map(toRecord);
}

export async function rolloutDevices(db: Db, id: string): Promise<Map<string, number>> {
  const rows = await db.selectFrom('rollout_devices').selectAll().where('rollout_id', '=', id).execute();
  return new Map(rows.map((row) => [row.device_id, row.wave]));
}

/** Devices of a group as the gate sees them, `assignedAtMs` by wave. */
export async function deviceViews(
  db: Db,
  waves: ReadonlyMap<string, number>,
  startedAtMs: (wave: number) => number | undefined,
): Promise<DeviceView[]> {
  if (waves.size === 0) return [];
  const rows = await db
    .selectFrom('devices')
    .select(['id', 'reported', 'last_seen_at', 'online'])
    .where('id', 'in', [...waves.keys()])
    .where('revoked', '=', 0) // shut out: neither success nor failure
    .execute();
  return rows.flatMap((row) => {
    const assignedAtMs = startedAtMs(waves.get(row.id) ?? -1);
    if (assignedAtMs === undefined) return [];
    return [
      {
        id: row.id,
        reported: row.reported === null ? undefined : reportedStateSchema.parse(JSON.parse(row.reported)),
        lastSeenAtMs: row.last_seen_at === null ? undefined : Date.parse(row.last_seen_at),
        online: row.online !== 0,
        assignedAtMs,
      },
    ];
  });
}

interface StatsQuery {
  readonly model: string;
  readonly versionDigest: string;
  readonly devices: readonly string[];
  readonly sinceMs: number;
}

export async function sumEvidence(db: Db, query: StatsQuery): Promise<VersionStats> {
  if (query.devices.length === 0) return NO_STATS;
  const rows = await db
    .selectFrom('evidence')
    .selectAll()
    .where('model', '=', query.model)
    .where('version_digest', '=', query.versionDigest)
    .where('device_id', 'in', query.devices)
    .where('received_at_ms', '>=', query.sinceMs)
    .execute();
  return rows.reduce<VersionStats>(
    (sum, row) =>
      mergeStats(sum, {
        requests: row.requests,
        errors: row.errors,
        latencyBuckets: z.array(z.number()).parse(JSON.parse(row.latency_buckets)),
        confidenceCount: row.confidence_count,
        confidenceSum: row.confidence_sum,
        confidenceSumOfSquares: row.confidence_sum_of_squares,
      }),
    NO_STATS,
  );
}

function toRecord(row: Selectable<Tables['rollouts']>): RolloutRecord {
  return {
    id: row.id,
    model: row.model,
    version: row.version,
    versionDigest: row.version_digest,
    group: row.group_name,
    state: row.state,
    reason: row.reason,
    wave: row.wave,
    waves: z.array(waveRecordSchema).parse(JSON.parse(row.waves)),
    policy: gatePolicySchema.parse(JSON.parse(row.policy)),
    probationMs: row.probation_ms,
    rolledBack: row.rolled_back !== 0,
    evidence:
      row.evidence === null
        ? undefined
        : z
            .object({ canary: z.record(z.string(), z.number()), control: z.record(z.string(), z.number()) })
            .parse(JSON.parse(row.evidence)),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

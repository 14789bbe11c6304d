// Gathers what the gate judges: where each device of the waves stands, what the new version did on them, and what the group's
// own version did beside it. Reads only.
import type { Registry } from '../registry/registry.js';
import type { Database } from '../storage/database.js';
import { progressOf } from './device-progress.js';
import type { GateEvidence } from './gate.js';
import { deviceViews, rolloutDevices, sumEvidence, type RolloutRecord } from './rollout-store.js';
import { errorRate, latencyQuantileMs, meanConfidence, type VersionStats } from './statistics.js';

/** How far back the old version's evidence may be taken where too few devices still run it beside the new one. */
const CONTROL_HISTORY_MS = 24 * 3_600_000;

interface EvidenceSources {
  readonly db: Database;
  readonly registry: Pick<Registry, 'version'>;
}

export async function gatherEvidence(
  sources: EvidenceSources,
  record: RolloutRecord,
  nowMs: number,
): Promise<GateEvidence> {
  const { db } = sources;
  const waves = await rolloutDevices(db, record.id);
  const views = await deviceViews(db, waves, (wave) => record.waves[wave]?.startedAtMs);
  const target = { model: record.model, versionDigest: record.versionDigest };
  const devices = views.map((view) => progressOf(view, target, record.policy.silentAfterSeconds * 1000, nowMs));
  const waveStartedAtMs = record.waves[record.wave]?.startedAtMs ?? nowMs;
  const canary = await sumEvidence(db, { ...target, devices: devices.map((d) => d.id), sinceMs: waveStartedAtMs });
  return { waveStartedAtMs, devices, canary, control: await controlStats(sources, record, waves, nowMs) };
}

/**
 * The group's own version: beside the new one where that says enough, else over the last day on all of its devices.
 * Undefined where the group runs none yet, or it has hardly been used.
 */
async function controlStats(
  { db, registry }: EvidenceSources,
  record: RolloutRecord,
  waves: ReadonlyMap<string, number>,
  nowMs: number,
): Promise<VersionStats | undefined> {
  const target = await db
    .selectFrom('group_targets')
    .select('version')
    .where('group_name', '=', record.group)
    .where('model', '=', record.model)
    .executeTakeFirst();
  const version = target && (await registry.version(record.model, String(target.version)));
  if (version === undefined) return undefined;
  const query = { model: record.model, versionDigest: version.digest };
  const least = Math.max(1, record.policy.minRequests);
  const beside = await sumEvidence(db, {
    ...query,
    devices: [...waves].filter(([, wave]) => wave > record.wave).map(([id]) => id),
    sinceMs: record.waves[record.wave]?.startedAtMs ?? nowMs,
  });
  if (beside.requests + beside.errors >= least) return beside;
  const before = await sumEvidence(db, { ...query, devices: [...waves.keys()], sinceMs: nowMs - CONTROL_HISTORY_MS });
  return before.requests + before.errors >= least ? before : undefined;
}

/** The figures that people see: requests, errors, errorRate, meanConfidence, p99Ms. */
export function summary(stats: VersionStats): Record<string, number> {
  const confidence = meanConfidence(stats);
  const p99 = latencyQuantileMs(stats, 0.99);
  return {
    requests: stats.requests,
    errors: stats.errors,
    errorRate: errorRate(stats),
    ...(confidence === undefined ? {} : { meanConfidence: confidence }),
    ...(p99 === undefined || !Number.isFinite(p99) ? {} : { p99Ms: p99 }),
  };
}

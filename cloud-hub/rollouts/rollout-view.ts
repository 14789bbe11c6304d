// A rollout as the admin API shows it: the record, and where each of its devices stands. Reads only.
import type { Rollout } from '@tidegate/shared/wire/admin-api.js';
import type { Database } from '../storage/database.js';
import { progressOf, type DeviceProgress } from './device-progress.js';
import { deviceViews, rolloutDevices, type RolloutRecord } from './rollout-store.js';

/** Devices that one answer lists; a larger rollout shows its first ones. */
const DEVICES_LISTED_MAX = 500;

export async function viewOf(db: Database, record: RolloutRecord, nowMs: number): Promise<Rollout> {
  const waves = await rolloutDevices(db, record.id);
  const views = await deviceViews(db, waves, (wave) => record.waves[wave]?.startedAtMs);
  const target = { model: record.model, versionDigest: record.versionDigest };
  const progress = new Map<string, DeviceProgress>(
    views.map((view) => [view.id, progressOf(view, target, record.policy.silentAfterSeconds * 1000, nowMs)]),
  );
  const { probationMs, evidence, ...rest } = record;
  return {
    ...rest,
    wave: record.wave + 1,
    probationSeconds: probationMs / 1000,
    waves: record.waves.map((wave, i) => ({
      share: wave.share,
      devices: devicesOfWave(waves, i).slice(0, DEVICES_LISTED_MAX),
      ...(wave.startedAtMs === undefined ? {} : { startedAt: new Date(wave.startedAtMs).toISOString() }),
    })),
    devices: [...waves].slice(0, DEVICES_LISTED_MAX).map(([id, wave]) => {
      const { state, detail } = progress.get(id) ?? { state: 'waiting' as const, detail: undefined };
      return { id, wave: wave + 1, state, ...(detail === undefined ? {} : { detail }) };
    }),
    ...(evidence === undefined ? {} : { evidence }),
  };
}

export function devicesOfWave(waves: ReadonlyMap<string, number>, wave: number): string[] {
  return [...waves].filter(([, w]) => w === wave).map(([id]) => id);
}

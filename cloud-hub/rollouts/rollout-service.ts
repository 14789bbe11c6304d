// Rollouts: waves of devices get a version one after the other, each after the gate has judged the one before. All progress
// stands in the database and every step is one transaction, so a hub that is killed at any moment goes on where it was;
// the desired documents follow from the rows (fleet-service.ts) and are recomputed after each step.
import { randomBytes } from 'node:crypto';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { createRolloutSchema, Rollout } from '@tidegate/shared/wire/admin-api.js';
import type { z } from 'zod';
import type { Registry } from '../registry/registry.js';
import type { RecordAudit } from '../security/audit.js';
import type { Database } from '../storage/database.js';
import { progressOf, type DeviceProgress } from './device-progress.js';
import { judge, type GateEvidence } from './gate.js';
import { RolloutError } from './rollout-error.js';
import {
  deviceViews,
  findRollout,
  insertRollout,
  listRollouts,
  openRollouts,
  rolloutDevices,
  sumEvidence,
  updateRollout,
  type RolloutChange,
  type RolloutRecord,
} from './rollout-store.js';
import { errorRate, latencyQuantileMs, meanConfidence, type VersionStats } from './statistics.js';
import { assignWaves, waveOfNewcomer } from './waves.js';

/** How far back the old version's evidence may be taken where too few devices still run it beside the new one. */
export const CONTROL_HISTORY_MS = 24 * 3_600_000;
export const TICK_INTERVAL_MS = 1000;
const DEVICES_LISTED_MAX = 500;
const SYSTEM = 'system:rollouts';

export interface RolloutModules {
  readonly db: Database;
  readonly registry: Pick<Registry, 'version' | 'variants'>;
  /** Brings devices' desired documents up to date (FleetService). */
  readonly fleet: { reconcile(deviceIds: readonly string[]): Promise<void> };
  readonly audit: RecordAudit;
  readonly clock: Clock;
  readonly log: Log;
  readonly onRollout: (rollout: Rollout) => void;
}

export type RolloutRequest = z.infer<typeof createRolloutSchema>;

export class RolloutService {
  readonly #m: RolloutModules;
  /** Judgements and commands run one after the other: none acts on a rollout that another is changing. */
  #turn: Promise<unknown> = Promise.resolve();
  #cancelTimer: (() => void) | undefined;
  #stopped = false;

  constructor(modules: RolloutModules) {
    this.#m = modules;
  }

  /** Goes on with what the database holds, then looks every TICK_INTERVAL_MS. */
  async start(): Promise<void> {
    const rows = await this.#m.db.selectFrom('device_targets').select('device_id').distinct().execute();
    await this.#m.fleet.reconcile(rows.map((row) => row.device_id));
    const again = (): void => {
      void this.tick()
        .catch((error: unknown) => this.#m.log.error({ error: String(error) }, 'rollouts could not be judged'))
        .finally(() => {
          if (!this.#stopped) this.#cancelTimer = this.#m.clock.after(TICK_INTERVAL_MS, again);
        });
    };
    again();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    await this.#turn;
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#turn.then(work);
    this.#turn = run.catch(() => undefined); // the caller sees the error; the next one's turn comes all the same
    return run;
  }

  /** Starts a rollout. Throws RolloutError `invalid`, `not-found` or `conflict`. */
  async create(request: RolloutRequest, actor: string): Promise<Rollout> {
    const { model, group, waves } = request;
    if (waves.some((share, i) => share <= (waves[i - 1] ?? 0)) || waves.at(-1) !== 1) {
      throw new RolloutError('invalid', 'waves must rise and end with 100%', { field: 'waves' });
    }
    const version = await this.#m.registry.version(model, request.version);
    if (version === undefined) {
      throw new RolloutError('not-found', `no version ${model}@${request.version}`, { field: 'version' });
    }
    if (version.state !== 'ready') {
      throw new RolloutError('conflict', `${model}@${version.version} is ${version.state}`, { field: 'version' });
    }
    const devices = await this.#m.db
      .selectFrom('devices')
      .select('id')
      .where('group_name', '=', group)
      .where('revoked', '=', 0)
      .execute();
    if (devices.length === 0) throw new RolloutError('not-found', `no device is in group ${group}`, { field: 'group' });
    const nowMs = this.#m.clock.nowMs();
    const now = new Date(nowMs).toISOString();
    const record: RolloutRecord = {
      // Time first, so that ids sort by creation.
      id: `r${nowMs.toString(36)}${randomBytes(3).toString('hex')}`,
      model,
      version: version.version,
      versionDigest: version.digest,
      group,
      state: 'running',
      reason: 'wave 1 begins',
      wave: 0,
      waves: waves.map((share, i) => (i === 0 ? { share, startedAtMs: nowMs } : { share })),
      policy: request.policy,
      probationMs: Math.round(request.probationSeconds * 1000),
      rolledBack: false,
      evidence: undefined,
      createdAt: now,
      updatedAt: now,
    };
    const assigned = assignWaves(
      devices.map((d) => d.id),
      version.digest,
      waves,
    );
    await this.#m.db.transaction().execute(async (tx) => {
      const open = await tx
        .selectFrom('rollouts')
        .select('id')
        .where('group_name', '=', group)
        .where('model', '=', model)
        .where('state', 'in', ['running', 'paused'])
        .executeTakeFirst();
      if (open !== undefined) {
        throw new RolloutError(
          'conflict',
          `rollout ${open.id} of ${model} in group ${group} is not finished; abort it first`,
        );
      }
      await insertRollout(tx, record);
      for (const [deviceId, wave] of assigned) {
        await tx.insertInto('rollout_devices').values({ rollout_id: record.id, device_id: deviceId, wave }).execute();
      }
      await this.#giveTo(tx, record, devicesOfWave(assigned, 0));
      const subject = `${model}@${version.version}`;
      await this.#m.audit(
        tx,
        { actor, action: 'rollout.start', subject, detail: { id: record.id, group, waves } },
        nowMs,
      );
    });
    await this.#m.fleet.reconcile(devicesOfWave(assigned, 0));
    return this.#announce(record.id);
  }

  async get(id: string): Promise<Rollout | undefined> {
    const record = await findRollout(this.#m.db, id);
    return record === undefined ? undefined : this.#view(record);
  }

  async list(limit: number, cursor?: string): Promise<{ items: Rollout[]; nextCursor?: string }> {
    const records = await listRollouts(this.#m.db, limit + 1, cursor);
    const items = await Promise.all(records.slice(0, limit).map((record) => this.#view(record)));
    const last = items.at(-1);
    return records.length > limit && last !== undefined ? { items, nextCursor: last.id } : { items };
  }

  /** Idempotent. Throws RolloutError `not-found`, or `conflict` when it has ended. */
  async pause(id: string, actor: string): Promise<Rollout> {
    return this.#command(id, actor, 'pause', (record) => {
      if (record.state === 'paused') return undefined;
      if (record.state !== 'running') throw ended(record);
      return { state: 'paused', reason: `paused by ${actor}` };
    });
  }

  async resume(id: string, actor: string): Promise<Rollout> {
    return this.#command(id, actor, 'resume', (record) => {
      if (record.state === 'running') return undefined;
      if (record.state !== 'paused') throw ended(record);
      return { state: 'running', reason: `resumed by ${actor}` };
    });
  }

  /** Ends it and takes every device of its waves back to the group's version. */
  async abort(id: string, actor: string): Promise<Rollout> {
    return this.#command(id, actor, 'abort', (record) => {
      if (record.state === 'aborted') return undefined;
      if (record.state !== 'running' && record.state !== 'paused') throw ended(record);
      return { state: 'aborted', reason: `aborted by ${actor}` };
    });
  }

  /** Judges every open rollout once. */
  tick(): Promise<void> {
    return this.#exclusive(async () => {
      for (const record of await openRollouts(this.#m.db)) {
        try {
          if (record.state === 'halted' || record.state === 'aborted') await this.#watchReturn(record);
          else {
            await this.#placeNewcomers(record);
            await this.#judge(record);
          }
        } catch (error) {
          this.#m.log.error({ rollout: record.id, error: String(error) }, 'rollout could not be judged');
        }
      }
    });
  }

  async #judge(record: RolloutRecord): Promise<void> {
    const nowMs = this.#m.clock.nowMs();
    const evidence = await this.#evidence(record, nowMs);
    const decision = judge(evidence, record.policy, nowMs);
    const position = `wave ${record.wave + 1} of ${record.waves.length}`;
    const figures = { canary: summary(evidence.canary), control: evidence.control ? summary(evidence.control) : {} };
    if (decision.action === 'halt') {
      await this.#end(record, { state: 'halted', reason: `${position}: ${decision.reason}`, evidence: figures });
      return;
    }
    if (decision.action === 'wait' || record.state === 'paused') {
      const reason = record.state === 'paused' ? record.reason : `${position}: ${decision.reason}`;
      await updateRollout(this.#m.db, record.id, { reason, evidence: figures }, nowMs);
      if (reason !== record.reason) await this.#announce(record.id);
      return;
    }
    if (record.wave === record.waves.length - 1) await this.#complete(record, decision.reason, figures);
    else await this.#advance(record, decision.reason, figures);
  }

  async #advance(record: RolloutRecord, why: string, evidence: NonNullable<RolloutRecord['evidence']>): Promise<void> {
    const nowMs = this.#m.clock.nowMs();
    const wave = record.wave + 1;
    const waves = record.waves.map((w, i) => (i === wave ? { ...w, startedAtMs: nowMs } : w));
    const reason = `wave ${wave + 1} of ${waves.length} begins: ${why}`;
    const devices = devicesOfWave(await rolloutDevices(this.#m.db, record.id), wave);
    await this.#m.db.transaction().execute(async (tx) => {
      await updateRollout(tx, record.id, { wave, waves, reason, evidence }, nowMs);
      await this.#giveTo(tx, record, devices);
      await this.#auditStep(tx, record, 'rollout.advance', reason, nowMs);
    });
    await this.#m.fleet.reconcile(devices);
    await this.#announce(record.id);
  }

  async #complete(record: RolloutRecord, why: string, evidence: NonNullable<RolloutRecord['evidence']>): Promise<void> {
    const nowMs = this.#m.clock.nowMs();
    const devices = [...(await rolloutDevices(this.#m.db, record.id)).keys()];
    const row = {
      group_name: record.group,
      model: record.model,
      version: record.version,
      probation_ms: record.probationMs,
    };
    await this.#m.db.transaction().execute(async (tx) => {
      await tx
        .insertInto('group_targets')
        .values(row)
        .onConflict((c) => c.columns(['group_name', 'model']).doUpdateSet(row))
        .execute();
      await tx.deleteFrom('device_targets').where('rollout_id', '=', record.id).execute();
      await updateRollout(tx, record.id, { state: 'completed', reason: `completed: ${why}`, evidence }, nowMs);
      await this.#auditStep(tx, record, 'rollout.complete', why, nowMs);
    });
    await this.#m.fleet.reconcile(devices);
    await this.#announce(record.id);
  }

  /** Halts or aborts: the devices' own targets go, so the group's version is theirs again. */
  async #end(
    record: RolloutRecord,
    change: RolloutChange & { state: 'halted' | 'aborted'; reason: string },
    actor = SYSTEM,
  ): Promise<void> {
    const nowMs = this.#m.clock.nowMs();
    const devices = [...(await rolloutDevices(this.#m.db, record.id)).keys()];
    await this.#m.db.transaction().execute(async (tx) => {
      await tx.deleteFrom('device_targets').where('rollout_id', '=', record.id).execute();
      await updateRollout(tx, record.id, change, nowMs);
      const action = change.state === 'halted' ? 'rollout.halt' : 'rollout.abort';
      await this.#auditStep(tx, record, action, change.reason, nowMs, actor);
    });
    this.#m.log.warn({ rollout: record.id, reason: change.reason }, `rollout ${change.state}`);
    await this.#m.fleet.reconcile(devices);
    await this.#announce(record.id);
  }

  /** Marks an ended rollout as rolled back once no device of its waves says that it runs the version. */
  async #watchReturn(record: RolloutRecord): Promise<void> {
    const target = { model: record.model, versionDigest: record.versionDigest };
    const views = await deviceViews(this.#m.db, await rolloutDevices(this.#m.db, record.id), () => 0);
    const still = views.filter((view) =>
      view.reported?.models.some((m) => m.name === target.model && m.running?.versionDigest === target.versionDigest),
    );
    // Also wait for devices that are in the middle of activating it: they may yet switch before they hear the news.
    const activating = views.filter((view) =>
      view.reported?.models.some(
        (m) =>
          m.name === target.model &&
          m.activation?.versionDigest === target.versionDigest &&
          m.activation.state === 'running',
      ),
    );
    if (still.length + activating.length > 0) return;
    await updateRollout(this.#m.db, record.id, { rolledBack: true }, this.#m.clock.nowMs());
    await this.#announce(record.id);
  }

  async #placeNewcomers(record: RolloutRecord): Promise<void> {
    const known = await rolloutDevices(this.#m.db, record.id);
    const group = await this.#m.db
      .selectFrom('devices')
      .select('id')
      .where('group_name', '=', record.group)
      .where('revoked', '=', 0)
      .execute();
    const newcomers = group.filter((device) => !known.has(device.id)).map((device) => device.id);
    if (newcomers.length === 0) return;
    const shares = record.waves.map((wave) => wave.share);
    const started: string[] = [];
    await this.#m.db.transaction().execute(async (tx) => {
      for (const deviceId of newcomers) {
        const wave = waveOfNewcomer(deviceId, record.versionDigest, shares);
        await tx.insertInto('rollout_devices').values({ rollout_id: record.id, device_id: deviceId, wave }).execute();
        if (wave <= record.wave) started.push(deviceId);
      }
      await this.#giveTo(tx, record, started);
    });
    await this.#m.fleet.reconcile(started);
  }

  async #evidence(record: RolloutRecord, nowMs: number): Promise<GateEvidence> {
    const waves = await rolloutDevices(this.#m.db, record.id);
    const views = await deviceViews(this.#m.db, waves, (wave) => record.waves[wave]?.startedAtMs);
    const target = { model: record.model, versionDigest: record.versionDigest };
    const devices = views.map((view) => progressOf(view, target, record.policy.silentAfterSeconds * 1000, nowMs));
    const waveStartedAtMs = record.waves[record.wave]?.startedAtMs ?? nowMs;
    const canary = await sumEvidence(this.#m.db, {
      ...target,
      devices: devices.map((d) => d.id),
      sinceMs: waveStartedAtMs,
    });
    return { waveStartedAtMs, devices, canary, control: await this.#control(record, waves, nowMs) };
  }

  /**
   * The group's own version: beside the new one where that says enough, else over the last day on all of its devices.
   * Undefined where the group runs none yet, or it has hardly been used.
   */
  async #control(
    record: RolloutRecord,
    waves: ReadonlyMap<string, number>,
    nowMs: number,
  ): Promise<VersionStats | undefined> {
    const target = await this.#m.db
      .selectFrom('group_targets')
      .select('version')
      .where('group_name', '=', record.group)
      .where('model', '=', record.model)
      .executeTakeFirst();
    const version = target && (await this.#m.registry.version(record.model, String(target.version)));
    if (version === undefined) return undefined;
    const query = { model: record.model, versionDigest: version.digest };
    const others = [...waves].filter(([, wave]) => wave > record.wave).map(([id]) => id);
    const beside = await sumEvidence(this.#m.db, {
      ...query,
      devices: others,
      sinceMs: record.waves[record.wave]?.startedAtMs ?? nowMs,
    });
    const least = Math.max(1, record.policy.minRequests);
    if (beside.requests + beside.errors >= least) return beside;
    const before = await sumEvidence(this.#m.db, {
      ...query,
      devices: [...waves.keys()],
      sinceMs: nowMs - CONTROL_HISTORY_MS,
    });
    return before.requests + before.errors >= least ? before : undefined;
  }

  async #giveTo(
    tx: Parameters<typeof insertRollout>[0],
    record: Pick<RolloutRecord, 'id' | 'model' | 'version' | 'probationMs'>,
    devices: readonly string[],
  ): Promise<void> {
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

  async #command(
    id: string,
    actor: string,
    verb: 'pause' | 'resume' | 'abort',
    decide: (record: RolloutRecord) => { state: RolloutRecord['state']; reason: string } | undefined,
  ): Promise<Rollout> {
    return this.#exclusive(async () => {
      const record = await findRollout(this.#m.db, id);
      if (record === undefined) throw new RolloutError('not-found', `no rollout ${id}`, { field: 'id' });
      const change = decide(record);
      if (change === undefined) return this.#view(record);
      const action = `rollout.${verb}`;
      if (change.state === 'aborted') await this.#end(record, { ...change, state: 'aborted' }, actor);
      else {
        const nowMs = this.#m.clock.nowMs();
        await this.#m.db.transaction().execute(async (tx) => {
          await updateRollout(tx, id, change, nowMs);
          await this.#auditStep(tx, record, action, change.reason, nowMs, actor);
        });
      }
      return this.#announce(id);
    });
  }

  async #auditStep(
    tx: Parameters<typeof insertRollout>[0],
    record: RolloutRecord,
    action: string,
    reason: string,
    nowMs: number,
    actor = SYSTEM,
  ): Promise<void> {
    const subject = `${record.model}@${record.version}`;
    await this.#m.audit(tx, { actor, action, subject, detail: { id: record.id, reason } }, nowMs);
  }

  async #announce(id: string): Promise<Rollout> {
    const record = await findRollout(this.#m.db, id);
    if (record === undefined) throw new RolloutError('not-found', `no rollout ${id}`, { field: 'id' });
    const view = await this.#view(record);
    this.#m.onRollout(view);
    return view;
  }

  async #view(record: RolloutRecord): Promise<Rollout> {
    const nowMs = this.#m.clock.nowMs();
    const waves = await rolloutDevices(this.#m.db, record.id);
    const views = await deviceViews(this.#m.db, waves, (wave) => record.waves[wave]?.startedAtMs);
    const target = { model: record.model, versionDigest: record.versionDigest };
    const progress = new Map<string, DeviceProgress>(
      views.map((view) => [view.id, progressOf(view, target, record.policy.silentAfterSeconds * 1000, nowMs)]),
    );
    const { versionDigest, probationMs, evidence, ...rest } = record;
    return {
      ...rest,
      versionDigest,
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
}

function devicesOfWave(waves: ReadonlyMap<string, number>, wave: number): string[] {
  return [...waves].filter(([, w]) => w === wave).map(([id]) => id);
}

function ended(record: RolloutRecord): RolloutError {
  return new RolloutError('conflict', `rollout ${record.id} has ended (${record.state})`);
}

function summary(stats: VersionStats): Record<string, number> {
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

// Rollouts: waves of devices get a version one after the other, each after the gate has judged the one before. All progress
// stands in the database and every step is one transaction (rollout-changes.ts), so a hub that is killed at any moment goes on
// where it was; the desired documents follow from the rows (fleet-service.ts) and are recomputed after each step.
import { randomBytes } from 'node:crypto';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { createRolloutSchema, Rollout } from '@tidegate/shared/wire/admin-api.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import type { z } from 'zod';
import type { Registry } from '../registry/registry.js';
import type { RecordAudit } from '../security/audit.js';
import type { Database } from '../storage/database.js';
import { judge } from './gate.js';
import { advance, begin, complete, devicesOfGroup, end, placeNewcomers, setState, SYSTEM } from './rollout-changes.js';
import { RolloutError } from './rollout-error.js';
import { gatherEvidence, summary } from './rollout-evidence.js';
import {
  deviceViews,
  findRollout,
  listRollouts,
  openRollouts,
  rolloutDevices,
  rolloutOfKey,
  updateRollout,
  type RolloutKey,
  type RolloutRecord,
} from './rollout-store.js';
import { viewOf } from './rollout-view.js';

const TICK_INTERVAL_MS = 1000;

interface RolloutModules {
  readonly db: Database;
  readonly registry: Pick<Registry, 'version'>;
  /** Brings devices' desired documents up to date (FleetService). */
  readonly fleet: { reconcile(deviceIds: readonly string[]): Promise<void> };
  readonly audit: RecordAudit;
  readonly clock: Clock;
  readonly log: Log;
  readonly onRollout: (rollout: Rollout) => void;
}

type RolloutRequest = z.infer<typeof createRolloutSchema>;

type Command = { readonly state: 'running' | 'paused' | 'aborted'; readonly reason: string };

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
    const rows = await this.#m.db.selectFrom('devices').select('id').execute();
    await this.#m.fleet.reconcile(rows.map((row) => row.id));
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

  /**
   * As create, for a client that sends its request again where the answer was lost: the same `key` of the same actor is the same rollout,
   * in whatever state it is by now. Throws also RolloutError `invalid` (field `idempotency-key`) where the key came with another request.
   */
  createOnce(request: RolloutRequest, actor: string, key: string): Promise<{ rollout: Rollout; added: boolean }> {
    const asked = { actor, key, digest: sha256(JSON.stringify(request)) };
    return this.#exclusive(async () => {
      const before = await rolloutOfKey(this.#m.db, asked);
      if (before === undefined) return { rollout: await this.create(request, actor, asked), added: true };
      if (before.same) return { rollout: await this.#announce(before.id), added: false };
      const message = `this key belongs to another request, which made rollout ${before.id}`;
      throw new RolloutError('invalid', message, { field: 'idempotency-key' });
    });
  }

  /** Starts a rollout. Throws RolloutError `invalid`, `not-found` or `conflict`. */
  async create(request: RolloutRequest, actor: string, asked?: RolloutKey): Promise<Rollout> {
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
    if (version.evaluation?.passed === false) {
      const message = `${model}@${version.version} did not pass its evaluation: ${version.evaluation.reason}`;
      throw new RolloutError('conflict', message, { field: 'version' });
    }
    const devices = await devicesOfGroup(this.#m.db, group);
    if (devices.length === 0) throw new RolloutError('not-found', `no device is in group ${group}`, { field: 'group' });
    const nowMs = this.#m.clock.nowMs();
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
      createdAt: new Date(nowMs).toISOString(),
      updatedAt: new Date(nowMs).toISOString(),
    };
    await this.#m.fleet.reconcile(await begin(this.#m, record, devices, actor, asked));
    return this.#announce(record.id);
  }

  async get(id: string): Promise<Rollout | undefined> {
    const record = await findRollout(this.#m.db, id);
    return record === undefined ? undefined : viewOf(this.#m.db, record, this.#m.clock.nowMs());
  }

  /** Newest first; `cursor` is the id of the last one seen. */
  async list(limit: number, cursor?: string): Promise<{ items: Rollout[]; nextCursor?: string }> {
    const records = await listRollouts(this.#m.db, limit + 1, cursor);
    const nowMs = this.#m.clock.nowMs();
    const items = await Promise.all(records.slice(0, limit).map((record) => viewOf(this.#m.db, record, nowMs)));
    const last = items.at(-1);
    return records.length > limit && last !== undefined ? { items, nextCursor: last.id } : { items };
  }

  /** Idempotent. Throws RolloutError `not-found`, or `conflict` when it has ended. */
  async pause(id: string, actor: string): Promise<Rollout> {
    return this.#command(id, { state: 'paused', reason: `paused by ${actor}` }, actor);
  }

  /** Idempotent. Throws RolloutError `not-found`, or `conflict` when it has ended. */
  async resume(id: string, actor: string): Promise<Rollout> {
    return this.#command(id, { state: 'running', reason: `resumed by ${actor}` }, actor);
  }

  /** Ends it and takes every device of its waves back to the group's version. Idempotent; throws as pause does. */
  async abort(id: string, actor: string): Promise<Rollout> {
    return this.#command(id, { state: 'aborted', reason: `aborted by ${actor}` }, actor);
  }

  /** Judges every open rollout once. */
  tick(): Promise<void> {
    return this.#exclusive(async () => {
      for (const record of await openRollouts(this.#m.db)) {
        try {
          if (record.state === 'halted' || record.state === 'aborted') await this.#watchReturn(record);
          else await this.#judge(record);
        } catch (error) {
          this.#m.log.error({ rollout: record.id, error: String(error) }, 'rollout could not be judged');
        }
      }
    });
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#turn.then(work);
    this.#turn = run.catch(() => undefined); // the caller sees the error; the next one's turn comes all the same
    return run;
  }

  async #judge(record: RolloutRecord): Promise<void> {
    await this.#m.fleet.reconcile(await placeNewcomers(this.#m, record));
    const nowMs = this.#m.clock.nowMs();
    const evidence = await gatherEvidence(this.#m, record, nowMs);
    const decision = judge(evidence, record.policy, nowMs);
    const position = `wave ${record.wave + 1} of ${record.waves.length}`;
    const figures = { canary: summary(evidence.canary), control: evidence.control ? summary(evidence.control) : {} };
    if (decision.action === 'halt') {
      const reason = `${position}: ${decision.reason}`;
      this.#m.log.warn({ rollout: record.id, reason }, 'rollout halted');
      await this.#apply(record, end(this.#m, record, { state: 'halted', reason, evidence: figures }, nowMs, SYSTEM));
    } else if (decision.action === 'wait' || record.state === 'paused') {
      const reason = record.state === 'paused' ? record.reason : `${position}: ${decision.reason}`;
      const news = reason !== record.reason || JSON.stringify(figures) !== JSON.stringify(record.evidence);
      if (!news) return;
      await updateRollout(this.#m.db, record.id, { reason, evidence: figures }, nowMs);
      await this.#announce(record.id);
    } else {
      const step = record.wave === record.waves.length - 1 ? complete : advance;
      await this.#apply(record, step(this.#m, record, decision.reason, figures, nowMs));
    }
  }

  async #apply(record: RolloutRecord, change: Promise<string[]>): Promise<void> {
    await this.#m.fleet.reconcile(await change);
    await this.#announce(record.id);
  }

  /** Marks an ended rollout as rolled back once no device of its waves runs the version, or is about to. */
  async #watchReturn(record: RolloutRecord): Promise<void> {
    const views = await deviceViews(this.#m.db, await rolloutDevices(this.#m.db, record.id), () => 0);
    const stillThere = views.some((view) =>
      view.reported?.models.some(
        ({ name, running, activation }) =>
          name === record.model &&
          (running?.versionDigest === record.versionDigest ||
            (activation?.versionDigest === record.versionDigest && activation.state === 'running')),
      ),
    );
    if (stillThere) return;
    await updateRollout(this.#m.db, record.id, { rolledBack: true }, this.#m.clock.nowMs());
    await this.#announce(record.id);
  }

  #command(id: string, command: Command, actor: string): Promise<Rollout> {
    return this.#exclusive(async () => {
      const record = await findRollout(this.#m.db, id);
      if (record === undefined) throw new RolloutError('not-found', `no rollout ${id}`, { field: 'id' });
      const nowMs = this.#m.clock.nowMs();
      if (record.state === command.state) return viewOf(this.#m.db, record, nowMs);
      if (record.state !== 'running' && record.state !== 'paused') {
        throw new RolloutError('conflict', `rollout ${record.id} has ended (${record.state})`);
      }
      const { state, reason } = command;
      if (state === 'aborted')
        await this.#m.fleet.reconcile(await end(this.#m, record, { state, reason }, nowMs, actor));
      else await setState(this.#m, record, { state, reason }, nowMs, actor);
      return this.#announce(id);
    });
  }

  async #announce(id: string): Promise<Rollout> {
    const record = await findRollout(this.#m.db, id);
    if (record === undefined) throw new RolloutError('not-found', `no rollout ${id}`, { field: 'id' });
    const view = await viewOf(this.#m.db, record, this.#m.clock.nowMs());
    this.#m.onRollout(view);
    return view;
  }
}

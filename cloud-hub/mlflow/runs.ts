// The life of runs: made, ended, renamed, deleted and restored. What is logged to them: run-log.ts. A run that shows a training job is the
// hub's, and refuses every change.
import { randomBytes } from 'node:crypto';
import type { Transaction } from 'kysely';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { z } from 'zod';
import type { RecordAudit } from '../security/audit.js';
import type { Database, Tables } from '../storage/database.js';
import { writableExperiment } from './experiments.js';
import type { HubUsage } from './hub-usage.js';
import { invalid, MlflowError } from './mlflow-error.js';
import type * as requests from './requests.js';
import { putTags, RUN_NAME_TAG, textBytes } from './run-log.js';
import { runRow, showInfo, showRuns, type RunRow, type ShownRun } from './run-rows.js';

interface RunModules {
  readonly db: Database;
  readonly clock: Clock;
  readonly audit: RecordAudit;
  readonly usage: HubUsage;
}

export class Runs {
  readonly #modules: RunModules;

  constructor(modules: RunModules) {
    this.#modules = modules;
  }

  async create(request: z.infer<typeof requests.createRun>, actor: string): Promise<ShownRun> {
    const { db, clock, audit, usage } = this.#modules;
    const nowMs = clock.nowMs();
    const id = randomBytes(16).toString('hex');
    const named = request.run_name || request.tags.find(({ key }) => key === RUN_NAME_TAG)?.value;
    const name = named || `run-${id.slice(0, 8)}`;
    const tags = new Map(request.tags.map(({ key, value }) => [key, value])).set(RUN_NAME_TAG, name);
    const list = [...tags].map(([key, value]) => ({ key, value }));
    const bytes = textBytes(list);
    await usage.require({ runs: 1, points: 0, textBytes: bytes });
    const shown = await db.transaction().execute(async (trx) => {
      const experiment = await writableExperiment(trx, request.experiment_id);
      const row: RunRow = {
        id,
        experiment: experiment.id,
        name,
        user: request.user_id,
        status: 'RUNNING',
        start_ms: request.start_time ?? nowMs,
        end_ms: null,
        state: 'active',
        deleted_ms: null,
        points: 0,
        text_bytes: bytes,
        job: null,
      };
      await trx.insertInto('mlflow_runs').values(row).execute();
      await putTags(trx, id, list);
      await audit(
        trx,
        { actor, action: 'mlflow.run.create', subject: subjectOf(id), detail: { experiment: experiment.name } },
        nowMs,
      );
      return (await showRuns(trx, [row]))[0] as ShownRun;
    });
    await usage.add({ runs: 1, points: 0, textBytes: bytes });
    return shown;
  }

  async get(id: string): Promise<ShownRun> {
    const { db } = this.#modules;
    return (await showRuns(db, [await runRow(db, id)]))[0] as ShownRun;
  }

  /** Ends or renames it. Said again, it changes nothing. */
  async update({ run_id, status, end_time, run_name }: z.infer<typeof requests.updateRun>): Promise<ShownRun['info']> {
    const { db, usage } = this.#modules;
    await usage.require({ runs: 0, points: 0, textBytes: Buffer.byteLength(run_name) });
    const { next, grown } = await db.transaction().execute(async (trx) => {
      const row = await writableRun(trx, run_id);
      const bytes = run_name === '' ? 0 : await putTags(trx, run_id, [{ key: RUN_NAME_TAG, value: run_name }]);
      const change = {
        status: status ?? row.status,
        end_ms: end_time ?? row.end_ms,
        name: run_name || row.name,
        text_bytes: row.text_bytes + bytes,
      };
      await trx.updateTable('mlflow_runs').set(change).where('id', '=', run_id).execute();
      return { next: { ...row, ...change }, grown: bytes };
    });
    await usage.add({ runs: 0, points: 0, textBytes: grown });
    return showInfo(next);
  }

  /** Keeps it for `restore`, until its room is needed. */
  delete(id: string, actor: string): Promise<void> {
    return this.#move(id, 'deleted', actor);
  }

  restore(id: string, actor: string): Promise<void> {
    return this.#move(id, 'active', actor);
  }

  async #move(id: string, state: RunRow['state'], actor: string): Promise<void> {
    const { db, clock, audit } = this.#modules;
    const nowMs = clock.nowMs();
    await db.transaction().execute(async (trx) => {
      const row = await runRow(trx, id);
      refuseJob(row);
      if (row.state === state) return;
      await trx
        .updateTable('mlflow_runs')
        .set({ state, deleted_ms: state === 'deleted' ? nowMs : null })
        .where('id', '=', id)
        .execute();
      await audit(
        trx,
        { actor, action: `mlflow.run.${state === 'deleted' ? 'delete' : 'restore'}`, subject: subjectOf(id) },
        nowMs,
      );
    });
  }
}

const subjectOf = (id: string): string => `mlflow-run:${id}`;

/** INVALID_PARAMETER_VALUE for a deleted one, PERMISSION_DENIED for one that shows a training job. */
export async function writableRun(db: Database | Transaction<Tables>, id: string): Promise<RunRow> {
  const row = await runRow(db, id);
  refuseJob(row);
  if (row.state === 'deleted') throw invalid(`run_id: run ${id} is deleted; restore it first`);
  return row;
}

function refuseJob({ id, job }: RunRow): void {
  if (job !== null)
    throw new MlflowError(
      'PERMISSION_DENIED',
      `run_id: run ${id} shows a training job of this hub and can't be changed`,
    );
}

// MLflow's side of a hub over a real database in memory, called with what a client would send.
import { createMlflow, type Mlflow } from '@tidegate/cloud-hub/mlflow/mlflow.js';
import { HUB_LIMITS, type HubLimits } from '@tidegate/cloud-hub/mlflow/mlflow-limits.js';
import * as requests from '@tidegate/cloud-hub/mlflow/requests.js';
import { searchRuns } from '@tidegate/cloud-hub/mlflow/run-search.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { ManualClock } from '../../support/manual-clock.js';

export interface MlflowFixture extends Mlflow {
  readonly clock: ManualClock;
  /** Makes a run and returns its id. */
  run(request?: object): Promise<string>;
  batch(run: string, what: { metrics?: object[]; params?: object[]; tags?: object[] }): Promise<void>;
  /** Ids that a search finds, in order. */
  found(filter: string, more?: object): Promise<string[]>;
  /** Actions in the audit log, oldest first. */
  audited(): Promise<string[]>;
}

export async function openMlflow(limits: Partial<HubLimits> = {}, database?: Database): Promise<MlflowFixture> {
  const db = database ?? (await openSqlite(':memory:'));
  const clock = new ManualClock();
  const content = { stream: () => Promise.reject(new Error('no content here')) };
  const mlflow = createMlflow({ db, clock, content }, { ...HUB_LIMITS, ...limits });
  return {
    ...mlflow,
    clock,
    run: async (request = {}) => {
      const { info } = await mlflow.runs.create(requests.createRun.parse(request), 'token:ci');
      return String(info['run_id']);
    },
    batch: (run, what) => mlflow.log.log(requests.logBatch.parse({ run_id: run, ...what })),
    found: async (filter, more = {}) => {
      const request = requests.searchRuns.parse({ experiment_ids: ['0'], filter, ...more });
      return (await searchRuns(db, request)).runs.map(({ info }) => String(info['run_id']));
    },
    audited: async () => {
      const rows = await db.selectFrom('audit').select('action').orderBy('id').execute();
      return rows.map(({ action }) => action);
    },
  };
}

/** A point that a client would send. */
export function metric(key: string, value: number | string, step = 0, timestamp = 1_700_000_000_000): object {
  return { key, value, step, timestamp };
}

// MLflow's side of the hub, put together: what api/mlflow-routes.ts calls.
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import { recordAudit } from '../security/audit.js';
import type { Database } from '../storage/database.js';
import { Experiments } from './experiments.js';
import { HubUsage } from './hub-usage.js';
import { HUB_LIMITS, type HubLimits } from './mlflow-limits.js';
import { RegisteredModels } from './registered-models.js';
import { RunLog } from './run-log.js';
import { Runs, writableRun } from './runs.js';

interface MlflowModules {
  readonly db: Database;
  readonly clock: Clock;
  readonly content: Pick<ContentStore, 'stream'>;
}

export interface Mlflow {
  readonly db: Database;
  readonly content: Pick<ContentStore, 'stream'>;
  readonly experiments: Experiments;
  readonly runs: Runs;
  readonly log: RunLog;
  readonly models: RegisteredModels;
}

export function createMlflow({ db, clock, content }: MlflowModules, limits: HubLimits = HUB_LIMITS): Mlflow {
  const audit = recordAudit;
  const usage = new HubUsage(db, limits);
  return {
    db,
    content,
    experiments: new Experiments({ db, clock, audit, limits }),
    runs: new Runs({ db, clock, audit, usage }),
    log: new RunLog({ db, usage, writableRun }),
    models: new RegisteredModels(db),
  };
}

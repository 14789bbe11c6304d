// How much of its limits MLflow's side of the hub uses. Counted once from the database, then kept up with each change: the database is
// this process's alone. Runs that a client deleted are kept, so that it can restore them, until their room is needed.
import { sql } from 'kysely';
import type { Database } from '../storage/database.js';
import { MlflowError } from './mlflow-error.js';
import type { HubLimits } from './mlflow-limits.js';

interface Counted {
  runs: number;
  points: number;
  textBytes: number;
}
type Use = Readonly<Counted>;

export class HubUsage {
  readonly #db: Database;
  readonly #limits: HubLimits;
  #used: Promise<Counted> | undefined;

  constructor(db: Database, limits: HubLimits) {
    this.#db = db;
    this.#limits = limits;
  }

  /** RESOURCE_LIMIT_EXCEEDED where this much more doesn't fit, not even without the deleted runs. Call it outside of transactions. */
  async require(more: Use): Promise<void> {
    for (;;) {
      const full = exceeded(await this.#count(), more, this.#limits);
      if (full === undefined) return;
      if (!(await this.#removeDeleted())) {
        throw new MlflowError(
          'RESOURCE_LIMIT_EXCEEDED',
          `this hub keeps at most ${full}; delete runs that nobody needs`,
        );
      }
    }
  }

  /** What a change that is committed added; `require` comes before it, so that it isn't in the first count too. */
  async add(more: Use): Promise<void> {
    const used = await this.#count();
    used.runs += more.runs;
    used.points += more.points;
    used.textBytes += more.textBytes;
  }

  async #count(): Promise<Counted> {
    this.#used ??= this.#db
      .selectFrom('mlflow_runs')
      .select([
        sql<number>`count(*)`.as('runs'),
        sql<number>`coalesce(sum(points), 0)`.as('points'),
        sql<number>`coalesce(sum(text_bytes), 0)`.as('textBytes'),
      ])
      .where('job', 'is', null)
      .executeTakeFirstOrThrow();
    try {
      return await this.#used;
    } catch (cause) {
      this.#used = undefined; // the next change counts again
      throw cause;
    }
  }

  /** The longest deleted one, alone: a run may have a million points. False where there is none. */
  async #removeDeleted(): Promise<boolean> {
    const run = await this.#db
      .selectFrom('mlflow_runs')
      .select(['id', 'points', 'text_bytes'])
      .where('deleted_ms', 'is not', null)
      .orderBy('deleted_ms')
      .executeTakeFirst();
    if (run === undefined) return false;
    const { numDeletedRows } = await this.#db.deleteFrom('mlflow_runs').where('id', '=', run.id).executeTakeFirst();
    if (numDeletedRows > 0n) await this.add({ runs: -1, points: -run.points, textBytes: -run.text_bytes });
    return true;
  }
}

function exceeded(used: Use, more: Use, limits: HubLimits): string | undefined {
  if (used.runs + more.runs > limits.runs) return `${limits.runs} runs`;
  if (used.points + more.points > limits.points) return `${limits.points} points of metrics`;
  if (used.textBytes + more.textBytes > limits.textBytes)
    return `${limits.textBytes} bytes of params, tags and datasets`;
  return undefined;
}

// Experiments: what MLflow groups runs by. Number 0, Default, always exists. Those named `tidegate/<model>` are the hub's: they show a
// model's training jobs, and no client makes, renames or deletes one.
import type { Selectable, Transaction } from 'kysely';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { z } from 'zod';
import type { RecordAudit } from '../security/audit.js';
import type { Database, Tables } from '../storage/database.js';
import { searchList } from './match-clause.js';
import { invalid, missing, MlflowError } from './mlflow-error.js';
import type { HubLimits } from './mlflow-limits.js';
import { pageOf } from './page-token.js';
import type * as requests from './requests.js';
import { parseFilter, parseOrder, type Name, type Searchable } from './search-language.js';

type Row = Selectable<Tables['mlflow_experiments']>;
type Reader = Database | Transaction<Tables>;

/** Names that begin so are the hub's. */
export const JOBS_PREFIX = 'tidegate/';

const SEARCHABLE: Searchable = {
  entities: ['attribute', 'tag'],
  attributes: { name: 'text', experiment_id: 'text', creation_time: 'number', last_update_time: 'number' },
  lists: ['experiment_id'],
};

interface ShownExperiment {
  readonly experiment_id: string;
  readonly name: string;
  readonly artifact_location: string;
  readonly lifecycle_stage: string;
  readonly creation_time: number;
  readonly last_update_time: number;
  readonly tags: readonly { readonly key: string; readonly value: string }[];
}

interface ExperimentModules {
  readonly db: Database;
  readonly clock: Clock;
  readonly audit: RecordAudit;
  readonly limits: HubLimits;
}

export class Experiments {
  readonly #modules: ExperimentModules;

  constructor(modules: ExperimentModules) {
    this.#modules = modules;
  }

  /** Returns its id. RESOURCE_ALREADY_EXISTS where one of that name exists, deleted ones counted. */
  async create({ name, tags }: z.infer<typeof requests.createExperiment>, actor: string): Promise<string> {
    const { limits } = this.#modules;
    refuseReserved(name);
    return this.#change(actor, 'create', async (trx, nowMs) => {
      await requireFree(trx, name);
      const { count } = await trx
        .selectFrom('mlflow_experiments')
        .select(({ fn }) => fn.countAll<number>().as('count'))
        .where('model', 'is', null)
        .executeTakeFirstOrThrow();
      if (Number(count) >= limits.experiments) throw limit(`${limits.experiments} experiments`);
      const { id } = await trx
        .insertInto('mlflow_experiments')
        .values({ name, state: 'active', created_ms: nowMs, updated_ms: nowMs, model: null })
        .returning('id')
        .executeTakeFirstOrThrow();
      const last = [...new Map(tags.map(({ key, value }) => [key, { experiment: id, key, value }])).values()];
      if (last.length > 0) await trx.insertInto('mlflow_experiment_tags').values(last).execute();
      return { id: String(id), name };
    });
  }

  async get(id: string): Promise<ShownExperiment> {
    const { db } = this.#modules;
    return first(await show(db, [await experimentRow(db, id)]));
  }

  async getByName(name: string): Promise<ShownExperiment> {
    const { db } = this.#modules;
    const row = await db.selectFrom('mlflow_experiments').selectAll().where('name', '=', name).executeTakeFirst();
    if (row === undefined) throw missing(`experiment_name: no experiment ${name}`);
    return first(await show(db, [row]));
  }

  /** The newest first unless it is asked otherwise. */
  async search(
    request: z.infer<typeof requests.searchExperiments>,
  ): Promise<{ experiments: ShownExperiment[]; next_page_token?: string }> {
    const { db } = this.#modules;
    const clauses = parseFilter(request.filter, SEARCHABLE);
    const order = parseOrder(request.order_by, SEARCHABLE);
    let select = db.selectFrom('mlflow_experiments').selectAll();
    if (request.view_type !== 'ALL')
      select = select.where('state', '=', request.view_type === 'ACTIVE_ONLY' ? 'active' : 'deleted');
    const rows = await select.orderBy('updated_ms', 'desc').orderBy('id', 'desc').execute();
    const found = searchList(await show(db, rows), clauses, order, valueOf);
    const { items, next } = pageOf(found, request.page_token, request.max_results);
    return { experiments: items, ...(next === undefined ? {} : { next_page_token: next }) };
  }

  async rename(id: string, name: string | undefined, actor: string): Promise<void> {
    if (name === undefined) return;
    refuseReserved(name);
    await this.#change(actor, 'rename', async (trx, nowMs) => {
      const row = await writableExperiment(trx, id);
      if (row.name === name) return undefined;
      await requireFree(trx, name);
      await trx.updateTable('mlflow_experiments').set({ name, updated_ms: nowMs }).where('id', '=', row.id).execute();
      return { id, name };
    });
  }

  /** With its runs. */
  async delete(id: string, actor: string): Promise<void> {
    await this.#move(id, 'deleted', actor);
  }

  /** With its runs, those too that were deleted before it. */
  async restore(id: string, actor: string): Promise<void> {
    await this.#move(id, 'active', actor);
  }

  async setTag(id: string, key: string, value: string): Promise<void> {
    const { db, limits } = this.#modules;
    await db.transaction().execute(async (trx) => {
      const row = await writableExperiment(trx, id);
      const tags = await trx
        .selectFrom('mlflow_experiment_tags')
        .select('key')
        .where('experiment', '=', row.id)
        .execute();
      if (tags.length >= limits.experimentTags && !tags.some((tag) => tag.key === key))
        throw limit(`${limits.experimentTags} tags of an experiment`);
      await trx
        .insertInto('mlflow_experiment_tags')
        .values({ experiment: row.id, key, value })
        .onConflict((conflict) => conflict.columns(['experiment', 'key']).doUpdateSet({ value }))
        .execute();
    });
  }

  async deleteTag(id: string, key: string): Promise<void> {
    await this.#modules.db.transaction().execute(async (trx) => {
      const row = await writableExperiment(trx, id);
      const { numDeletedRows } = await trx
        .deleteFrom('mlflow_experiment_tags')
        .where('experiment', '=', row.id)
        .where('key', '=', key)
        .executeTakeFirst();
      if (numDeletedRows === 0n) throw missing(`key: experiment ${id} has no tag ${key}`);
    });
  }

  async #move(id: string, state: Row['state'], actor: string): Promise<void> {
    await this.#change(actor, state === 'deleted' ? 'delete' : 'restore', async (trx, nowMs) => {
      const row = await experimentRow(trx, id);
      refuseModel(row);
      if (row.state === state) return undefined;
      if (row.id === 0) throw invalid('experiment_id: experiment 0, Default, stays');
      await trx.updateTable('mlflow_experiments').set({ state, updated_ms: nowMs }).where('id', '=', row.id).execute();
      const from = state === 'deleted' ? 'active' : 'deleted';
      await trx
        .updateTable('mlflow_runs')
        .set({ state, deleted_ms: state === 'deleted' ? nowMs : null })
        .where('experiment', '=', row.id)
        .where('state', '=', from)
        .execute();
      return { id, name: row.name };
    });
  }

  /** `change` returns what it changed, or undefined where all was so already. */
  async #change<T extends { id: string; name: string } | undefined>(
    actor: string,
    verb: string,
    change: (trx: Transaction<Tables>, nowMs: number) => Promise<T>,
  ): Promise<string> {
    const { db, clock, audit } = this.#modules;
    const nowMs = clock.nowMs();
    return db.transaction().execute(async (trx) => {
      const changed = await change(trx, nowMs);
      if (changed === undefined) return '';
      const { id, name } = changed;
      await audit(
        trx,
        { actor, action: `mlflow.experiment.${verb}`, subject: `mlflow-experiment:${id}`, detail: { name } },
        nowMs,
      );
      return id;
    });
  }
}

/** RESOURCE_DOES_NOT_EXIST where there is none; INVALID_PARAMETER_VALUE for a deleted one; PERMISSION_DENIED for the hub's own. */
export async function writableExperiment(db: Reader, id: string): Promise<Row> {
  const row = await experimentRow(db, id);
  refuseModel(row);
  if (row.state === 'deleted')
    throw invalid(`experiment_id: experiment ${id} (${row.name}) is deleted; restore it first`);
  return row;
}

async function experimentRow(db: Reader, id: string): Promise<Row> {
  const number = /^\d{1,15}$/.test(id) ? Number(id) : -1;
  const row = await db.selectFrom('mlflow_experiments').selectAll().where('id', '=', number).executeTakeFirst();
  if (row === undefined) throw missing(`experiment_id: no experiment ${id}`);
  return row;
}

async function requireFree(db: Reader, name: string): Promise<void> {
  const taken = await db.selectFrom('mlflow_experiments').select('state').where('name', '=', name).executeTakeFirst();
  if (taken === undefined) return;
  const hint = taken.state === 'deleted' ? ' and is deleted; restore it, or take another name' : '';
  throw new MlflowError('RESOURCE_ALREADY_EXISTS', `name: an experiment ${name} exists${hint}`);
}

function refuseReserved(name: string): void {
  if (name.startsWith(JOBS_PREFIX))
    throw invalid(`name: names that begin with ${JOBS_PREFIX} are this hub's own, for training jobs`);
}

function refuseModel({ name, model }: Row): void {
  if (model !== null)
    throw new MlflowError(
      'PERMISSION_DENIED',
      `experiment_id: ${name} shows training jobs of this hub and can't be changed`,
    );
}

const limit = (what: string): MlflowError =>
  new MlflowError('RESOURCE_LIMIT_EXCEEDED', `this hub keeps at most ${what}`);

async function show(db: Reader, rows: readonly Row[]): Promise<ShownExperiment[]> {
  if (rows.length === 0) return [];
  const tags = await db
    .selectFrom('mlflow_experiment_tags')
    .selectAll()
    .where(
      'experiment',
      'in',
      rows.map(({ id }) => id),
    )
    .orderBy('key')
    .execute();
  const tagsOf = new Map(rows.map(({ id }) => [id, [] as { key: string; value: string }[]]));
  for (const { experiment, key, value } of tags) tagsOf.get(experiment)?.push({ key, value });
  return rows.map((row) => ({
    experiment_id: String(row.id),
    name: row.name,
    artifact_location: `mlflow-artifacts:/runs/${row.id}`,
    lifecycle_stage: row.state,
    creation_time: row.created_ms,
    last_update_time: row.updated_ms,
    tags: tagsOf.get(row.id) ?? [],
  }));
}

const first = (shown: readonly ShownExperiment[]): ShownExperiment => shown[0] as ShownExperiment;

function valueOf(experiment: ShownExperiment, { entity, key }: Name): string | number | undefined {
  if (entity === 'tag') return experiment.tags.find((tag) => tag.key === key)?.value;
  return experiment[key as keyof Omit<ShownExperiment, 'tags'>];
}

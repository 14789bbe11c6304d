// What clients log: metrics, params, tags, datasets. Each call is one transaction, whole or not at all, and said again it changes nothing:
// a point that is there already is not added, a param with the same value is accepted. Another value for a param is refused.
import { sql, type Transaction } from 'kysely';
import type { z } from 'zod';
import type { Database, Tables } from '../storage/database.js';
import type { MlflowMetricTable } from '../storage/tables/mlflow.js';
import type { HubUsage } from './hub-usage.js';
import { invalid, missing, MlflowError } from './mlflow-error.js';
import { LIMIT_RUN_POINTS, LIMIT_RUN_TEXT_BYTES } from './mlflow-limits.js';
import type * as requests from './requests.js';
import type { DatasetInput, Metric, Text } from './requests.js';
import type { RunRow } from './run-rows.js';

type Trx = Transaction<Tables>;
interface Grown {
  readonly points: number;
  readonly textBytes: number;
}
export const RUN_NAME_TAG = 'mlflow.runName';
const CONTEXT_TAG = 'mlflow.data.context';
/** What a latest metric weighs in an answer, beside its key. */
const METRIC_BYTES = 64;

interface RunLogModules {
  readonly db: Database;
  readonly usage: HubUsage;
  /** The run's row where it may be written to; see runs.ts. */
  readonly writableRun: (trx: Trx, id: string) => Promise<RunRow>;
}

export class RunLog {
  readonly #modules: RunLogModules;

  constructor(modules: RunLogModules) {
    this.#modules = modules;
  }

  async log({ run_id, metrics, params, tags }: z.infer<typeof requests.logBatch>): Promise<void> {
    const key = repeated(params);
    if (key !== undefined) throw invalid(`params: the key ${key} is given twice`);
    await this.#write(run_id, metrics.length, textBytes([...params, ...tags]), async (trx) => {
      const grown = [await addParams(trx, run_id, params), await putTags(trx, run_id, tags)];
      const { points, textBytes: names } = await addMetrics(trx, run_id, metrics);
      return { points, textBytes: names + grown.reduce((sum, bytes) => sum + bytes, 0) };
    });
  }

  async logInputs({ run_id, datasets }: z.infer<typeof requests.logInputs>): Promise<void> {
    const bytes = datasets.reduce((sum, dataset) => sum + Buffer.byteLength(JSON.stringify(dataset)), 0);
    await this.#write(run_id, 0, bytes, async (trx) => {
      let added = 0;
      for (const dataset of datasets)
        if (await addInput(trx, run_id, dataset)) added += Buffer.byteLength(JSON.stringify(dataset));
      return { points: 0, textBytes: added };
    });
  }

  /** RESOURCE_DOES_NOT_EXIST where the run has no such tag. */
  async deleteTag(runId: string, key: string): Promise<void> {
    await this.#write(runId, 0, 0, async (trx) => {
      const tag = await trx
        .selectFrom('mlflow_tags')
        .selectAll()
        .where('run', '=', runId)
        .where('key', '=', key)
        .executeTakeFirst();
      if (tag === undefined) throw missing(`key: run ${runId} has no tag ${key}`);
      await trx.deleteFrom('mlflow_tags').where('run', '=', runId).where('key', '=', key).execute();
      return { points: 0, textBytes: -textBytes([tag]) };
    });
  }

  /** `points`, `bytes`: what it may add at most. */
  async #write(runId: string, points: number, bytes: number, change: (trx: Trx) => Promise<Grown>): Promise<void> {
    const { db, usage, writableRun } = this.#modules;
    await usage.require({ runs: 0, points, textBytes: bytes });
    const grown = await db.transaction().execute(async (trx) => {
      const row = await writableRun(trx, runId);
      const added = await change(trx);
      const sum = { points: row.points + added.points, text_bytes: row.text_bytes + added.textBytes };
      if (added.points > 0 && sum.points > LIMIT_RUN_POINTS) throw full(`${LIMIT_RUN_POINTS} points of metrics`);
      if (added.textBytes > 0 && sum.text_bytes > LIMIT_RUN_TEXT_BYTES)
        throw full(`${LIMIT_RUN_TEXT_BYTES} bytes of params, tags and datasets`);
      if (added.points !== 0 || added.textBytes !== 0)
        await trx.updateTable('mlflow_runs').set(sum).where('id', '=', runId).execute();
      return added;
    });
    await usage.add({ runs: 0, ...grown });
  }
}

const full = (what: string): MlflowError =>
  new MlflowError('RESOURCE_LIMIT_EXCEEDED', `a run may have at most ${what}`);

export function textBytes(texts: readonly Pick<Text, 'key' | 'value'>[]): number {
  return texts.reduce((sum, { key, value }) => sum + Buffer.byteLength(key) + Buffer.byteLength(value), 0);
}

function repeated(texts: readonly Text[]): string | undefined {
  const seen = new Set<string>();
  return texts.find(({ key }) => seen.size === seen.add(key).size)?.key;
}

/** Returns the bytes that it added. */
async function addParams(trx: Trx, run: string, params: readonly Text[]): Promise<number> {
  if (params.length === 0) return 0;
  const keys = params.map(({ key }) => key);
  const rows = await trx
    .selectFrom('mlflow_params')
    .selectAll()
    .where('run', '=', run)
    .where('key', 'in', keys)
    .execute();
  const known = new Map(rows.map(({ key, value }) => [key, value]));
  for (const { key, value } of params) {
    const old = known.get(key);
    if (old !== undefined && old !== value)
      throw invalid(
        `params: ${key} of run ${run} is "${short(old)}" and can't be changed to "${short(value)}"; params are logged once`,
      );
  }
  const added = params.filter(({ key }) => !known.has(key));
  if (added.length > 0)
    await trx
      .insertInto('mlflow_params')
      .values(added.map((param) => ({ run, ...param })))
      .execute();
  return textBytes(added);
}

const short = (value: string): string => (value.length > 80 ? `${value.slice(0, 80)}...` : value);

/** The last one of a key counts. `mlflow.runName` renames the run. Returns the bytes that the tags grew by. */
export async function putTags(trx: Trx, run: string, tags: readonly Text[]): Promise<number> {
  if (tags.length === 0) return 0;
  const last = [...new Map(tags.map(({ key, value }) => [key, { run, key, value }])).values()];
  const keys = last.map(({ key }) => key);
  const old = await trx.selectFrom('mlflow_tags').selectAll().where('run', '=', run).where('key', 'in', keys).execute();
  await trx
    .insertInto('mlflow_tags')
    .values(last)
    .onConflict((conflict) => conflict.columns(['run', 'key']).doUpdateSet((e) => ({ value: e.ref('excluded.value') })))
    .execute();
  const name = last.find(({ key }) => key === RUN_NAME_TAG)?.value;
  if (name) await trx.updateTable('mlflow_runs').set({ name }).where('id', '=', run).execute();
  return textBytes(last) - textBytes(old);
}

async function addMetrics(trx: Trx, run: string, metrics: readonly Metric[]): Promise<Grown> {
  if (metrics.length === 0) return { points: 0, textBytes: 0 };
  const rows = metrics.map(({ key, value, timestamp, step }): MlflowMetricTable => {
    const nan = Number.isNaN(value);
    return { run, key, at_ms: timestamp, step, value: nan ? 0 : value, nan: nan ? 1 : 0 };
  });
  const [inserted] = await trx
    .insertInto('mlflow_metrics')
    .values(rows)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const latest = new Map<string, MlflowMetricTable>();
  for (const row of rows) {
    const other = latest.get(row.key);
    if (other === undefined || isLater(row, other)) latest.set(row.key, row);
  }
  const names = [...latest.keys()];
  const known = await trx
    .selectFrom('mlflow_latest')
    .select('key')
    .where('run', '=', run)
    .where('key', 'in', names)
    .execute();
  await putLatest(trx, [...latest.values()]);
  const old = new Set(known.map(({ key }) => key));
  const added = names.filter((key) => !old.has(key));
  return {
    points: Number(inserted?.numInsertedOrUpdatedRows ?? 0n),
    textBytes: added.reduce((sum, key) => sum + Buffer.byteLength(key) + METRIC_BYTES, 0),
  };
}

function isLater(a: MlflowMetricTable, b: MlflowMetricTable): boolean {
  if (a.step !== b.step) return a.step > b.step;
  return a.at_ms === b.at_ms ? a.value > b.value : a.at_ms > b.at_ms;
}

/** Keeps what is later already. */
async function putLatest(trx: Trx, rows: readonly MlflowMetricTable[]): Promise<void> {
  await trx
    .insertInto('mlflow_latest')
    .values(rows)
    .onConflict((conflict) =>
      conflict
        .columns(['run', 'key'])
        .doUpdateSet((e) => ({
          at_ms: e.ref('excluded.at_ms'),
          step: e.ref('excluded.step'),
          value: e.ref('excluded.value'),
          nan: e.ref('excluded.nan'),
        }))
        .where(
          sql<boolean>`(excluded.step, excluded.at_ms, excluded.value) > (mlflow_latest.step, mlflow_latest.at_ms, mlflow_latest.value)`,
        ),
    )
    .execute();
}

/** False where the run has it already. */
async function addInput(trx: Trx, run: string, { dataset, tags }: DatasetInput): Promise<boolean> {
  const { name, digest, source, source_type, schema, profile } = dataset;
  const context = tags.find(({ key }) => key === CONTEXT_TAG)?.value ?? null;
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto('mlflow_inputs')
    .values({
      run,
      name,
      digest,
      source,
      source_type,
      schema: schema ?? null,
      profile: profile ?? null,
      context,
      tags: JSON.stringify(tags),
    })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  return (numInsertedOrUpdatedRows ?? 0n) > 0n;
}

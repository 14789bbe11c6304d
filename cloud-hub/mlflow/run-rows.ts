// Runs as MLflow's clients read them: `{info, data, inputs}`. Reads only, within a transaction too.
import type { Selectable, Transaction } from 'kysely';
import type { Database, Tables } from '../storage/database.js';
import type { MlflowInputTable, MlflowMetricTable, MlflowRunTable } from '../storage/tables/mlflow.js';
import { missing } from './mlflow-error.js';

export type RunRow = Selectable<MlflowRunTable>;
type Reader = Database | Transaction<Tables>;

interface KeyValue {
  readonly key: string;
  readonly value: string;
}
/** Numbers that JSON lacks are text, as in protobuf's JSON. */
type Double = number | 'NaN' | 'Infinity' | '-Infinity';
export interface ShownMetric {
  readonly key: string;
  readonly value: Double;
  readonly timestamp: number;
  readonly step: number;
}
export interface ShownRun {
  readonly info: Readonly<Record<string, string | number>>;
  readonly data: {
    readonly metrics: readonly ShownMetric[];
    readonly params: readonly KeyValue[];
    readonly tags: readonly KeyValue[];
  };
  readonly inputs: { readonly dataset_inputs: readonly unknown[] };
}

export async function runRow(db: Reader, id: string): Promise<RunRow> {
  const row = await db.selectFrom('mlflow_runs').selectAll().where('id', '=', id).executeTakeFirst();
  if (row === undefined) throw missing(`run_id: no run ${id}`);
  return row;
}

export function showInfo(row: RunRow): ShownRun['info'] {
  return {
    run_id: row.id,
    run_uuid: row.id,
    run_name: row.name,
    experiment_id: String(row.experiment),
    user_id: row.user,
    status: row.status,
    start_time: row.start_ms,
    ...(row.end_ms === null ? {} : { end_time: row.end_ms }),
    artifact_uri: artifactUri(row),
    lifecycle_stage: row.state,
  };
}

/** Resolved by clients against the hub itself, which keeps no artifacts of runs and says so. */
export function artifactUri({ id, experiment }: Pick<RunRow, 'id' | 'experiment'>): string {
  return `mlflow-artifacts:/runs/${experiment}/${id}`;
}

/** In the order of the rows. */
export async function showRuns(db: Reader, rows: readonly RunRow[]): Promise<ShownRun[]> {
  if (rows.length === 0) return [];
  const ids = rows.map((row) => row.id);
  const params = await db.selectFrom('mlflow_params').selectAll().where('run', 'in', ids).orderBy('key').execute();
  const tags = await db.selectFrom('mlflow_tags').selectAll().where('run', 'in', ids).orderBy('key').execute();
  const metrics = await db.selectFrom('mlflow_latest').selectAll().where('run', 'in', ids).orderBy('key').execute();
  const inputs = await db.selectFrom('mlflow_inputs').selectAll().where('run', 'in', ids).execute();
  const [paramsOf, tagsOf, metricsOf, inputsOf] = [byRun(params), byRun(tags), byRun(metrics), byRun(inputs)];
  return rows.map((row) => ({
    info: showInfo(row),
    data: {
      metrics: metricsOf(row.id).map(showMetric),
      params: paramsOf(row.id).map(showText),
      tags: tagsOf(row.id).map(showText),
    },
    inputs: { dataset_inputs: inputsOf(row.id).map(showInput) },
  }));
}

export function showMetric({ key, value, nan, at_ms, step }: Omit<MlflowMetricTable, 'run'>): ShownMetric {
  return { key, value: nan === 1 ? 'NaN' : showDouble(value), timestamp: at_ms, step };
}

function showDouble(value: number): Double {
  if (Number.isFinite(value)) return value;
  return value > 0 ? 'Infinity' : '-Infinity';
}

const showText = ({ key, value }: KeyValue): KeyValue => ({ key, value });

function showInput(row: MlflowInputTable): unknown {
  return {
    tags: JSON.parse(row.tags) as unknown,
    dataset: {
      name: row.name,
      digest: row.digest,
      source_type: row.source_type,
      source: row.source,
      ...(row.schema === null ? {} : { schema: row.schema }),
      ...(row.profile === null ? {} : { profile: row.profile }),
    },
  };
}

function byRun<T extends { readonly run: string }>(rows: readonly T[]): (run: string) => readonly T[] {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    const group = groups.get(row.run);
    if (group === undefined) groups.set(row.run, [row]);
    else group.push(row);
  }
  return (run) => groups.get(run) ?? [];
}

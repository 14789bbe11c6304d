// Searches over runs, by the database: a clause becomes an EXISTS over what was logged, a key to order by a subquery. The order always ends
// in start time and id (both backwards, as one index has them), so that pages neither repeat nor skip. A page is cut where its answer would
// get too large; the token says where to go on. NaN is no number: `!=` finds it, and it comes between numbers and nothing.
import { sql, type RawBuilder } from 'kysely';
import type { z } from 'zod';
import type { Database } from '../storage/database.js';
import { LIMIT_PAGE_BYTES, LIMIT_PAGE_RUNS } from './mlflow-limits.js';
import { offsetOf, pageToken } from './page-token.js';
import type * as requests from './requests.js';
import { showRuns, type RunRow, type ShownRun } from './run-rows.js';
import {
  parseFilter,
  parseOrder,
  type Clause,
  type Comparator,
  type Name,
  type Order,
  type Searchable,
} from './search-language.js';

const SEARCHABLE: Searchable = {
  entities: ['metric', 'param', 'tag', 'attribute', 'dataset'],
  attributes: {
    run_id: 'text',
    run_name: 'text',
    user_id: 'text',
    status: 'text',
    start_time: 'number',
    end_time: 'number',
  },
  lists: ['run_id'],
};
/** Of the attributes above. */
const COLUMNS: Readonly<Record<string, RawBuilder<unknown>>> = {
  run_id: sql`r.id`,
  run_name: sql`r.name`,
  user_id: sql`r.user`,
  status: sql`r.status`,
  start_time: sql`r.start_ms`,
  end_time: sql`r.end_ms`,
};

interface FoundRuns {
  readonly runs: readonly ShownRun[];
  readonly next_page_token?: string;
}

export async function searchRuns(db: Database, request: z.infer<typeof requests.searchRuns>): Promise<FoundRuns> {
  const clauses = parseFilter(request.filter, SEARCHABLE).map(clauseSql);
  const order = parseOrder(request.order_by, SEARCHABLE).flatMap(orderSql);
  const experiments = request.experiment_ids.filter((id) => /^\d{1,15}$/.test(id)).map(Number);
  const offset = offsetOf(request.page_token);
  if (experiments.length === 0) return { runs: [] };
  const most = Math.min(request.max_results, LIMIT_PAGE_RUNS);
  const where = [sql`r.experiment in (${sql.join(experiments)})`, ...viewSql(request.run_view_type), ...clauses];
  const { rows } = await sql<RunRow>`
    select r.* from mlflow_runs r where ${sql.join(where, sql` and `)}
    order by ${sql.join([...order, sql`r.start_ms desc`, sql`r.id desc`])}
    limit ${most + 1} offset ${offset}`.execute(db);
  const page = rows.slice(0, rowsThatFit(rows.slice(0, most)));
  const runs = await showRuns(db, page);
  return { runs, ...(rows.length > page.length ? { next_page_token: pageToken(offset + page.length) } : {}) };
}

/** At least one: a run alone always fits. */
function rowsThatFit(rows: readonly RunRow[]): number {
  let bytes = 0;
  const tooMany = rows.findIndex((row, index) => (bytes += row.text_bytes) > LIMIT_PAGE_BYTES && index > 0);
  return tooMany < 0 ? rows.length : tooMany;
}

function viewSql(view: requests.View): RawBuilder<unknown>[] {
  return view === 'ALL' ? [] : [sql`r.state = ${view === 'ACTIVE_ONLY' ? 'active' : 'deleted'}`];
}

function clauseSql(clause: Clause): RawBuilder<unknown> {
  const { entity, key, comparator } = clause;
  switch (entity) {
    case 'attribute':
      return compareSql(column(key), clause);
    case 'metric': {
      const nan = comparator === '!=' ? sql`m.nan = 1 or` : sql`m.nan = 0 and`;
      return sql`exists (select 1 from mlflow_latest m where m.run = r.id and m.key = ${key} and (${nan} ${compareSql(sql`m.value`, clause)}))`;
    }
    case 'dataset':
      return sql`exists (select 1 from mlflow_inputs i where i.run = r.id and ${compareSql(sql`i.${sql.ref(key)}`, clause)})`;
    case 'param':
    case 'tag': {
      const table = sql.table(entity === 'param' ? 'mlflow_params' : 'mlflow_tags');
      const found = sql`select 1 from ${table} t where t.run = r.id and t.key = ${key}`;
      if (comparator === 'IS NULL') return sql`not exists (${found})`;
      if (comparator === 'IS NOT NULL') return sql`exists (${found})`;
      return sql`exists (${found} and ${compareSql(sql`t.value`, clause)})`;
    }
  }
}

const OPERATORS: Partial<Readonly<Record<Comparator, RawBuilder<unknown>>>> = {
  '=': sql`=`,
  '!=': sql`<>`,
  '<': sql`<`,
  '<=': sql`<=`,
  '>': sql`>`,
  '>=': sql`>=`,
};

function compareSql(left: RawBuilder<unknown>, { comparator, value }: Clause): RawBuilder<unknown> {
  const operator = OPERATORS[comparator];
  if (operator !== undefined) return sql`${left} ${operator} ${value}`;
  if (comparator === 'LIKE') return sql`${left} like ${value}`;
  if (comparator === 'ILIKE') return sql`lower(${left}) like lower(${value})`;
  const list = sql.join(value as readonly string[]);
  return comparator === 'IN' ? sql`${left} in (${list})` : sql`${left} not in (${list})`;
}

/** What lacks the name comes last, in either order. */
function orderSql({ ascending, ...name }: Order): RawBuilder<unknown>[] {
  const direction = ascending ? sql`asc` : sql`desc`;
  const [missing, value] = sortKeys(name);
  return [sql`${missing} asc`, sql`${value} ${direction}`];
}

function sortKeys({ entity, key }: Name): [missing: RawBuilder<unknown>, value: RawBuilder<unknown>] {
  if (entity === 'attribute') return [sql`${column(key)} is null`, column(key)];
  if (entity === 'metric') {
    const of = sql`from mlflow_latest m where m.run = r.id and m.key = ${key}`;
    return [sql`coalesce((select m.nan ${of}), 2)`, sql`(select m.value ${of})`];
  }
  if (entity === 'dataset') {
    const value = sql`(select min(i.${sql.ref(key)}) from mlflow_inputs i where i.run = r.id)`;
    return [sql`${value} is null`, value];
  }
  const table = sql.table(entity === 'param' ? 'mlflow_params' : 'mlflow_tags');
  const value = sql`(select t.value from ${table} t where t.run = r.id and t.key = ${key})`;
  return [sql`${value} is null`, value];
}

function column(key: string): RawBuilder<unknown> {
  const found = COLUMNS[key];
  if (found === undefined) throw new Error(`no column for the attribute ${key}`);
  return found;
}

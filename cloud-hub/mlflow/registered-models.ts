// The hub's registry as MLflow's: models, their versions, labels as aliases. Reading only: a version comes to be by publishing a package,
// which is checked, measured and signed, and no client of MLflow's can do that. All versions are in MLflow's stage None. The files of a
// version can be had by its `source`; see package-artifacts.ts.
import type { Selectable } from 'kysely';
import type { z } from 'zod';
import type { Database } from '../storage/database.js';
import type { VersionTable } from '../storage/tables/registry.js';
import { jobRunId } from './job-runs.js';
import { searchList } from './match-clause.js';
import { missing } from './mlflow-error.js';
import { pageOf } from './page-token.js';
import type * as requests from './requests.js';
import { parseFilter, parseOrder, type Name, type Searchable } from './search-language.js';

const STAGE = 'None';
const STATUS = {
  validating: 'PENDING_REGISTRATION',
  optimizing: 'PENDING_REGISTRATION',
  ready: 'READY',
  refused: 'FAILED_REGISTRATION',
} as const satisfies Record<VersionTable['state'], string>;

const MODEL_SEARCH: Searchable = {
  entities: ['attribute', 'tag'],
  attributes: { name: 'text', creation_timestamp: 'number', last_updated_timestamp: 'number' },
  lists: ['name'],
};
const VERSION_SEARCH: Searchable = {
  entities: ['attribute', 'tag'],
  attributes: {
    name: 'text',
    version_number: 'number',
    run_id: 'text',
    source_path: 'text',
    creation_timestamp: 'number',
    last_updated_timestamp: 'number',
  },
  lists: ['name', 'run_id'],
};

type Row = Pick<
  Selectable<VersionTable>,
  'model' | 'version' | 'digest' | 'label' | 'licence' | 'state' | 'detail' | 'size_bytes' | 'created_at'
> & { readonly job: string | null };
interface Text {
  readonly key: string;
  readonly value: string;
}
interface ShownVersion {
  readonly name: string;
  readonly version: string;
  readonly creation_timestamp: number;
  readonly last_updated_timestamp: number;
  readonly current_stage: string;
  readonly description: string;
  readonly source: string;
  readonly run_id: string;
  readonly status: string;
  readonly status_message: string;
  readonly tags: readonly Text[];
  readonly aliases: readonly string[];
}
interface ShownModel {
  readonly name: string;
  readonly creation_timestamp: number;
  readonly last_updated_timestamp: number;
  readonly description: string;
  readonly latest_versions: readonly ShownVersion[];
  readonly tags: readonly Text[];
  readonly aliases: readonly { readonly alias: string; readonly version: string }[];
}
type Search = z.infer<typeof requests.searchRegistry>;

export class RegisteredModels {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  async get(name: string): Promise<ShownModel> {
    const [model] = await this.#models(name);
    if (model === undefined) throw missing(`name: no model ${name}; tidegate model publish makes one`);
    return model;
  }

  /** By name unless it is asked otherwise. */
  async search(request: Search): Promise<{ registered_models: ShownModel[]; next_page_token?: string }> {
    const clauses = parseFilter(request.filter, MODEL_SEARCH);
    const order = parseOrder(request.order_by, MODEL_SEARCH);
    const found = searchList(await this.#models(), clauses, order, modelValue);
    const { items, next } = pageOf(found, request.page_token, request.max_results);
    return { registered_models: items, ...(next === undefined ? {} : { next_page_token: next }) };
  }

  /** The newest ready version in each of the stages, of which there is only None. */
  async latest(name: string, stages: readonly string[]): Promise<readonly ShownVersion[]> {
    const { latest_versions } = await this.get(name);
    return stages.length === 0 || stages.some((stage) => stage.toLowerCase() === STAGE.toLowerCase())
      ? latest_versions
      : [];
  }

  async version(name: string, version: string): Promise<ShownVersion> {
    const number = /^\d{1,9}$/.test(version) ? Number(version) : -1;
    const [row] = await this.#rows({ name, number });
    if (row === undefined) throw missing(`version: no version ${version} of a model ${name}`);
    return showVersion(row);
  }

  async byAlias(name: string, alias: string): Promise<ShownVersion> {
    const row = (await this.#rows({ name })).find((version) => aliasOf(version) === alias);
    if (row === undefined) throw missing(`alias: no version of a model ${name} has the label ${alias}`);
    return showVersion(row);
  }

  /** The newest first of each model, unless it is asked otherwise. */
  async searchVersions(request: Search): Promise<{ model_versions: ShownVersion[]; next_page_token?: string }> {
    const clauses = parseFilter(request.filter, VERSION_SEARCH);
    const order = parseOrder(request.order_by, VERSION_SEARCH);
    const name = clauses.find(
      (clause) => clause.entity === 'attribute' && clause.key === 'name' && clause.comparator === '=',
    )?.value;
    const rows = await this.#rows(typeof name === 'string' ? { name } : {});
    const found = searchList(rows.map(showVersion), clauses, order, versionValue);
    const { items, next } = pageOf(found, request.page_token, request.max_results);
    return { model_versions: items, ...(next === undefined ? {} : { next_page_token: next }) };
  }

  async #models(name?: string): Promise<ShownModel[]> {
    let select = this.#db.selectFrom('models').selectAll().orderBy('name');
    if (name !== undefined) select = select.where('name', '=', name);
    const models = await select.execute();
    const versions = new Map<string, Row[]>();
    for (const row of await this.#rows(name === undefined ? {} : { name })) {
      const list = versions.get(row.model);
      if (list === undefined) versions.set(row.model, [row]);
      else list.push(row);
    }
    return models.map((model) => showModel(model, versions.get(model.name) ?? []));
  }

  /** The newest first of each model. */
  async #rows({ name, number }: { readonly name?: string; readonly number?: number }): Promise<Row[]> {
    let select = this.#db
      .selectFrom('versions as v')
      .leftJoin('lineage as l', (join) => join.onRef('l.model', '=', 'v.model').onRef('l.version', '=', 'v.version'))
      .select([
        'v.model',
        'v.version',
        'v.digest',
        'v.label',
        'v.licence',
        'v.state',
        'v.detail',
        'v.size_bytes',
        'v.created_at',
        'l.job',
      ]);
    if (name !== undefined) select = select.where('v.model', '=', name);
    if (number !== undefined) select = select.where('v.version', '=', number);
    return select.orderBy('v.model').orderBy('v.version', 'desc').execute();
  }
}

/** Resolved by clients against the hub itself. */
export function packageUri(model: string, version: number): string {
  return `mlflow-artifacts:/models/${model}/${version}`;
}

/** A refused version's label is free for another. */
const aliasOf = ({ label, state }: Row): string | undefined =>
  label === null || state === 'refused' ? undefined : label;

function showVersion(row: Row): ShownVersion {
  const alias = aliasOf(row);
  const atMs = Date.parse(row.created_at);
  return {
    name: row.model,
    version: String(row.version),
    creation_timestamp: atMs,
    last_updated_timestamp: atMs,
    current_stage: STAGE,
    description: '',
    source: packageUri(row.model, row.version),
    run_id: row.job === null ? '' : jobRunId(row.job),
    status: STATUS[row.state],
    status_message: row.detail ?? '',
    tags: [
      { key: 'tidegate.digest', value: row.digest },
      { key: 'tidegate.licence', value: row.licence },
      { key: 'tidegate.size_bytes', value: String(row.size_bytes) },
      { key: 'tidegate.state', value: row.state },
    ],
    aliases: alias === undefined ? [] : [alias],
  };
}

function showModel(
  model: { name: string; description: string | null; created_at: string },
  rows: readonly Row[],
): ShownModel {
  const latest = rows.find(({ state }) => state === 'ready');
  return {
    name: model.name,
    creation_timestamp: Date.parse(model.created_at),
    last_updated_timestamp: Date.parse(rows[0]?.created_at ?? model.created_at),
    description: model.description ?? '',
    latest_versions: latest === undefined ? [] : [showVersion(latest)],
    tags: [],
    aliases: rows.flatMap((row) => {
      const alias = aliasOf(row);
      return alias === undefined ? [] : [{ alias, version: String(row.version) }];
    }),
  };
}

function modelValue(model: ShownModel, { entity, key }: Name): string | number | undefined {
  if (entity === 'tag') return undefined;
  return model[key as 'name' | 'creation_timestamp' | 'last_updated_timestamp'];
}

function versionValue(version: ShownVersion, { entity, key }: Name): string | number | undefined {
  if (entity === 'tag') return version.tags.find((tag) => tag.key === key)?.value;
  if (key === 'version_number') return Number(version.version);
  return version[(key === 'source_path' ? 'source' : key) as Exclude<keyof ShownVersion, 'tags' | 'aliases'>];
}

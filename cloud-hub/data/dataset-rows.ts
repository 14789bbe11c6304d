// Rows of dataset versions, and what the admin API shows of them. A row never changes once it exists; of
// one that was deleted only its number is spoken of.
import type { Selectable, Transaction } from 'kysely';
import { datasetVersionSchema, type DatasetVersion } from '@tidegate/shared/wire/data-api.js';
import type { Database, Tables } from '../storage/database.js';
import type { DatasetVersionTable } from '../storage/tables/data.js';
import { DataError } from './data-error.js';

export type DatasetRow = Selectable<DatasetVersionTable>;
type Reading = Database | Transaction<Tables>;

export function showDataset(row: DatasetRow): DatasetVersion {
  return {
    name: row.name,
    version: row.version,
    digest: row.digest,
    model: row.model,
    from: row.query,
    heldOut: row.held_out,
    count: row.count,
    counts: { train: row.train_count, 'held-out': row.held_out_count },
    labels: datasetVersionSchema.shape.labels.parse(JSON.parse(row.labels)),
    unlabelled: row.unlabelled,
    ...(row.contradicted === 0 ? {} : { contradicted: row.contradicted }),
    sizeBytes: row.size_bytes,
    createdAt: row.created_at,
  };
}

export async function newestDataset(db: Reading, name: string): Promise<DatasetRow | undefined> {
  return db
    .selectFrom('dataset_versions')
    .selectAll()
    .where('name', '=', name)
    .where('deleted_at', 'is', null)
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
}

/** Of the version that comes next: no number is given twice, deleted ones included. */
export async function nextDatasetVersion(db: Reading, name: string): Promise<number> {
  const { newest } = await db
    .selectFrom('dataset_versions')
    .select(({ fn }) => fn.max<number | null>('version').as('newest'))
    .where('name', '=', name)
    .executeTakeFirstOrThrow();
  return Number(newest ?? 0) + 1;
}

/** `version`: a number, or `latest`. Rejects with DataError `not-found`. */
export async function datasetRow(db: Reading, name: string, version: string): Promise<DatasetRow> {
  const number = /^[1-9][0-9]{0,8}$/.test(version) ? Number(version) : undefined;
  const row =
    version === 'latest'
      ? await newestDataset(db, name)
      : await db
          .selectFrom('dataset_versions')
          .selectAll()
          .where('name', '=', name)
          .where('version', '=', number ?? 0)
          .executeTakeFirst();
  if (row?.deleted_at === null) return row;
  if (row !== undefined)
    throw new DataError('not-found', `${name}@${row.version} was deleted at ${row.deleted_at}`, { field: 'version' });
  if (version === 'latest') throw new DataError('not-found', `no dataset ${name}`, { field: 'name' });
  throw new DataError('not-found', `no version ${version} of a dataset ${name}`, { field: 'version' });
}

/** The newest version of each dataset, by name. */
export async function listDatasets(
  db: Database,
  query: { readonly limit: number; readonly afterName?: string | undefined },
): Promise<DatasetRow[]> {
  let select = db
    .selectFrom('dataset_versions')
    .selectAll()
    .where('version', '=', (eb) =>
      eb
        .selectFrom('dataset_versions as other')
        .select((of) => of.fn.max('other.version').as('newest'))
        .whereRef('other.name', '=', 'dataset_versions.name')
        .where('other.deleted_at', 'is', null),
    )
    .orderBy('name')
    .limit(query.limit);
  if (query.afterName !== undefined) select = select.where('name', '>', query.afterName);
  return select.execute();
}

/** Newest first. */
export async function listDatasetVersions(
  db: Database,
  query: { readonly name: string; readonly limit: number; readonly beforeVersion?: number | undefined },
): Promise<DatasetRow[]> {
  let select = db
    .selectFrom('dataset_versions')
    .selectAll()
    .where('name', '=', query.name)
    .where('deleted_at', 'is', null)
    .orderBy('version', 'desc')
    .limit(query.limit);
  if (query.beforeVersion !== undefined) select = select.where('version', '<', query.beforeVersion);
  return select.execute();
}

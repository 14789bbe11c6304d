// Reading versions, their measurements and variants from the database, in the shapes of the wire. Works within a transaction too.
import type { Selectable, Transaction } from 'kysely';
import type { Model, Version } from '@tidegate/shared/wire/admin-api.js';
import type { VariantManifest, VersionManifest } from '@tidegate/shared/wire/manifest.js';
import { evaluationSchema } from '@tidegate/shared/wire/training-api.js';
import type { VariantReport } from '@tidegate/shared/wire/variant-report.js';
import type { Database, Tables } from '../storage/database.js';
import type { VersionTable } from '../storage/tables/registry.js';
import type { StoredVariant } from './registry.js';
import { readPrivacy } from './version-privacy.js';

export type VersionRow = Selectable<VersionTable>;
type Reader = Database | Transaction<Tables>;

export async function versionRow(db: Reader, model: string, version: number): Promise<VersionRow | undefined> {
  return db
    .selectFrom('versions')
    .selectAll()
    .where('model', '=', model)
    .where('version', '=', version)
    .executeTakeFirst();
}

export async function reportsOf(db: Reader, model: string, version: number): Promise<VariantReport[]> {
  const rows = await db
    .selectFrom('measurements')
    .select('report')
    .where('model', '=', model)
    .where('version', '=', version)
    .orderBy('device_class')
    .orderBy('position')
    .execute();
  return rows.map((row) => JSON.parse(row.report) as VariantReport);
}

export async function showVersion(db: Reader, row: VersionRow): Promise<Version> {
  return {
    model: row.model,
    version: row.version,
    ...(row.label === null ? {} : { label: row.label }),
    digest: row.digest,
    licence: row.licence,
    state: row.state,
    ...(row.detail === null ? {} : { detail: row.detail }),
    sizeBytes: row.size_bytes,
    createdAt: row.created_at,
    ...(await evaluationOf(db, row)),
    variants: await reportsOf(db, row.model, row.version),
  };
}

/** Nothing for a version that no job made: its row of `lineage` is written with it, and never changes. */
async function evaluationOf(db: Reader, { model, version }: VersionRow): Promise<Pick<Version, 'evaluation'>> {
  const origin = await db
    .selectFrom('lineage')
    .select('evaluation')
    .where('model', '=', model)
    .where('version', '=', version)
    .executeTakeFirst();
  if (origin === undefined) return {};
  const { passed, reason } = evaluationSchema.parse(JSON.parse(origin.evaluation));
  return { evaluation: { passed, reason } };
}

/** Newest first. */
export async function listVersions(
  db: Database,
  query: { readonly model: string; readonly limit: number; readonly beforeVersion?: number },
): Promise<Version[]> {
  let select = db.selectFrom('versions').selectAll().where('model', '=', query.model);
  if (query.beforeVersion !== undefined) select = select.where('version', '<', query.beforeVersion);
  const rows = await select.orderBy('version', 'desc').limit(query.limit).execute();
  return Promise.all(rows.map((row) => showVersion(db, row)));
}

/** In the order of names. `latestVersion` is the newest that is ready. */
export async function listModels(
  db: Database,
  query: { readonly limit: number; readonly afterName?: string; readonly name?: string },
): Promise<Model[]> {
  let select = db
    .selectFrom('models')
    .leftJoin('versions', (join) => join.onRef('versions.model', '=', 'models.name').on('versions.state', '=', 'ready'))
    .select(({ fn }) => [
      'models.name',
      'models.description',
      'models.created_at',
      fn.max('versions.version').as('latest'),
    ])
    .groupBy(['models.name', 'models.description', 'models.created_at']);
  if (query.afterName !== undefined) select = select.where('models.name', '>', query.afterName);
  if (query.name !== undefined) select = select.where('models.name', '=', query.name);
  const rows = await select.orderBy('models.name').limit(query.limit).execute();
  return rows.map((row) => ({
    name: row.name,
    ...(row.description === null ? {} : { description: row.description }),
    ...(row.latest === null ? {} : { latestVersion: Number(row.latest) }),
    createdAt: row.created_at,
  }));
}

export async function storedVariants(db: Reader, row: VersionRow): Promise<StoredVariant[]> {
  const rows = await db
    .selectFrom('variants')
    .selectAll()
    .where('model', '=', row.model)
    .where('version', '=', row.version)
    .orderBy('variant')
    .execute();
  return rows.map((variant) => ({
    model: row.model,
    version: row.version,
    versionDigest: row.digest,
    privacy: readPrivacy(row.privacy),
    variant: variant.variant,
    variantDigest: variant.digest,
    manifest: JSON.parse(variant.manifest) as VariantManifest,
    sizeBytes: variant.size_bytes,
  }));
}

export function manifestOf(row: VersionRow): VersionManifest {
  return JSON.parse(row.manifest) as VersionManifest;
}

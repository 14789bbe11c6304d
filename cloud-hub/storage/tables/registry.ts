// Tables of the registry domain and the migration that makes them. A version's identity (digest, manifest) never changes once
// its row exists; only its state, its detail and its label do. File contents are in the content store, never here.
import type { Kysely, Migration } from 'kysely';

interface ModelTable {
  readonly name: string;
  readonly description: string | null;
  readonly created_at: string;
}

export interface VersionTable {
  readonly model: string;
  readonly version: number;
  readonly digest: string;
  readonly label: string | null;
  readonly licence: string;
  /** JSON: Privacy of model.yaml; in rows of earlier hubs only the word of `privacy.fallback` (registry/version-privacy.ts). */
  readonly privacy: string;
  readonly state: 'validating' | 'optimizing' | 'ready' | 'refused';
  readonly detail: string | null;
  readonly size_bytes: number;
  /** Canonical JSON: VersionManifest. */
  readonly manifest: string;
  readonly created_at: string;
}

export interface VariantTable {
  readonly model: string;
  readonly version: number;
  readonly variant: string;
  readonly digest: string;
  /** Canonical JSON: VariantManifest. */
  readonly manifest: string;
  readonly size_bytes: number;
  readonly created_at: string;
  /** When its manifest became a signed target; devices can take it only then. */
  readonly signed_at: string | null;
}

/** One row of the variants' table per variant and device class, also for variants that could not be built. */
interface MeasurementTable {
  readonly model: string;
  readonly version: number;
  readonly variant: string;
  readonly device_class: string;
  /** Place in the table. */
  readonly position: number;
  readonly outcome: 'chosen' | 'kept' | 'refused' | 'not-applicable';
  /** JSON: VariantReport. */
  readonly report: string;
}

interface UploadTable {
  readonly id: string;
  readonly model: string;
  /** JSON: FileEntry[]. */
  readonly files: string;
  readonly allow_unknown_licence: number;
  readonly created_at: string;
  readonly expires_at: string;
  /** The version that it became; null while it is open. */
  readonly version: number | null;
}

export interface RegistryTables {
  readonly models: ModelTable;
  readonly versions: VersionTable;
  readonly variants: VariantTable;
  readonly measurements: MeasurementTable;
  readonly uploads: UploadTable;
}

export const registryMigration: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    await createModels(db);
    await createVariants(db);
    await db.schema
      .createTable('uploads')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('model', 'text', (column) => column.notNull())
      .addColumn('files', 'text', (column) => column.notNull())
      .addColumn('allow_unknown_licence', 'integer', (column) => column.notNull())
      .addColumn('created_at', 'text', (column) => column.notNull())
      .addColumn('expires_at', 'text', (column) => column.notNull())
      .addColumn('version', 'integer')
      .execute();
  },
};

async function createModels(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('models')
    .addColumn('name', 'text', (column) => column.primaryKey())
    .addColumn('description', 'text')
    .addColumn('created_at', 'text', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('versions')
    .addColumn('model', 'text', (column) => column.notNull().references('models.name'))
    .addColumn('version', 'integer', (column) => column.notNull())
    .addColumn('digest', 'text', (column) => column.notNull())
    .addColumn('label', 'text')
    .addColumn('licence', 'text', (column) => column.notNull())
    .addColumn('privacy', 'text', (column) => column.notNull())
    .addColumn('state', 'text', (column) => column.notNull())
    .addColumn('detail', 'text')
    .addColumn('size_bytes', 'integer', (column) => column.notNull())
    .addColumn('manifest', 'text', (column) => column.notNull())
    .addColumn('created_at', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('versions_key', ['model', 'version'])
    .addUniqueConstraint('versions_digest', ['model', 'digest'])
    .execute();
  await db.schema.createIndex('versions_state').on('versions').column('state').execute();
}

async function createVariants(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('variants')
    .addColumn('model', 'text', (column) => column.notNull())
    .addColumn('version', 'integer', (column) => column.notNull())
    .addColumn('variant', 'text', (column) => column.notNull())
    .addColumn('digest', 'text', (column) => column.notNull())
    .addColumn('manifest', 'text', (column) => column.notNull())
    .addColumn('size_bytes', 'integer', (column) => column.notNull())
    .addColumn('created_at', 'text', (column) => column.notNull())
    .addColumn('signed_at', 'text')
    .addPrimaryKeyConstraint('variants_key', ['model', 'version', 'variant'])
    .addForeignKeyConstraint('variants_version', ['model', 'version'], 'versions', ['model', 'version'])
    .execute();
  await db.schema
    .createTable('measurements')
    .addColumn('model', 'text', (column) => column.notNull())
    .addColumn('version', 'integer', (column) => column.notNull())
    .addColumn('variant', 'text', (column) => column.notNull())
    .addColumn('device_class', 'text', (column) => column.notNull())
    .addColumn('position', 'integer', (column) => column.notNull())
    .addColumn('outcome', 'text', (column) => column.notNull())
    .addColumn('report', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('measurements_key', ['model', 'version', 'variant', 'device_class'])
    .addForeignKeyConstraint('measurements_version', ['model', 'version'], 'versions', ['model', 'version'])
    .execute();
}

// Tables of the data domain: samples that devices captured or an operator imported, and datasets frozen from them. Bodies and shards are
// in the content store, never here. A dataset version's row never changes once it exists, but for its deletion.
import type { Generated, Kysely, Migration } from 'kysely';

export interface SampleTable {
  /** Digest of the body, which the content store holds. */
  readonly id: string;
  readonly model: string;
  readonly version: number | null;
  readonly version_digest: string | null;
  readonly variant_digest: string | null;
  readonly variant: string | null;
  readonly device_id: string | null;
  /** Of an import: its name. */
  readonly batch: string | null;
  readonly captured_at_ms: number;
  readonly received_at_ms: number;
  readonly confidence: number | null;
  readonly reason: 'low-confidence' | 'random-share' | 'import';
  readonly inputs_digest: string;
  /** JSON: [{name, datatype, shape}]. */
  readonly inputs: string;
  readonly size_bytes: number;
  readonly answer: string | null;
  readonly state: 'new' | 'labelled' | 'rejected';
  readonly label: string | null;
  readonly label_source: 'person' | 'hub-model' | 'import' | null;
  readonly proposed_label: string | null;
  readonly proposed_confidence: number | null;
  readonly proposed_version: number | null;
}

export interface DatasetVersionTable {
  readonly name: string;
  readonly version: number;
  /** Of the manifest file (datasetManifestSchema as canonical JSON), which the content store holds. */
  readonly digest: string;
  readonly model: string;
  readonly query: string;
  readonly held_out: number;
  readonly manifest_bytes: number;
  readonly count: number;
  readonly train_count: number;
  readonly held_out_count: number;
  readonly unlabelled: number;
  /** Left out for a later sample of equal inputs under another label. */
  readonly contradicted: Generated<number>;
  /** JSON: label -> count. */
  readonly labels: string;
  readonly size_bytes: number;
  readonly created_at: string;
  /** Its files are gone; the row stays, so that its number is not given again and lineage can name it. */
  readonly deleted_at: Generated<string | null>;
}

export interface DataTables {
  readonly samples: SampleTable;
  readonly dataset_versions: DatasetVersionTable;
}

export const dataMigration: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    await db.schema
      .createTable('samples')
      .addColumn('id', 'text', (c) => c.primaryKey())
      .addColumn('model', 'text', (c) => c.notNull())
      .addColumn('version', 'integer')
      .addColumn('version_digest', 'text')
      .addColumn('variant_digest', 'text')
      .addColumn('variant', 'text')
      .addColumn('device_id', 'text')
      .addColumn('batch', 'text')
      .addColumn('captured_at_ms', 'integer', (c) => c.notNull())
      .addColumn('received_at_ms', 'integer', (c) => c.notNull())
      .addColumn('confidence', 'real')
      .addColumn('reason', 'text', (c) => c.notNull())
      .addColumn('inputs_digest', 'text', (c) => c.notNull())
      .addColumn('inputs', 'text', (c) => c.notNull())
      .addColumn('size_bytes', 'integer', (c) => c.notNull())
      .addColumn('answer', 'text')
      .addColumn('state', 'text', (c) => c.notNull())
      .addColumn('label', 'text')
      .addColumn('label_source', 'text')
      .addColumn('proposed_label', 'text')
      .addColumn('proposed_confidence', 'real')
      .addColumn('proposed_version', 'integer')
      .execute();
    await db.schema.createIndex('samples_model').on('samples').columns(['model', 'received_at_ms', 'id']).execute();
    await db.schema.createIndex('samples_received').on('samples').columns(['received_at_ms', 'id']).execute();
    await db.schema
      .createTable('dataset_versions')
      .addColumn('name', 'text', (c) => c.notNull())
      .addColumn('version', 'integer', (c) => c.notNull())
      .addColumn('digest', 'text', (c) => c.notNull())
      .addColumn('model', 'text', (c) => c.notNull())
      .addColumn('query', 'text', (c) => c.notNull())
      .addColumn('held_out', 'real', (c) => c.notNull())
      .addColumn('manifest_bytes', 'integer', (c) => c.notNull())
      .addColumn('count', 'integer', (c) => c.notNull())
      .addColumn('train_count', 'integer', (c) => c.notNull())
      .addColumn('held_out_count', 'integer', (c) => c.notNull())
      .addColumn('unlabelled', 'integer', (c) => c.notNull())
      .addColumn('contradicted', 'integer', (c) => c.notNull().defaultTo(0))
      .addColumn('labels', 'text', (c) => c.notNull())
      .addColumn('size_bytes', 'integer', (c) => c.notNull())
      .addColumn('created_at', 'text', (c) => c.notNull())
      .addPrimaryKeyConstraint('dataset_versions_key', ['name', 'version'])
      .execute();
  },
};

/** A review page asks for the newest in one state, of which there may be few among many. */
export const sampleStatesMigration: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    await db.schema.createIndex('samples_state').on('samples').columns(['state', 'received_at_ms', 'id']).execute();
  },
};

export const deletedDatasetsMigration: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    await db.schema.alterTable('dataset_versions').addColumn('deleted_at', 'text').execute();
  },
};

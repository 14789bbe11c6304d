// Tables of the audit domain and the migration that makes them. Rows are only ever added.
import type { Generated, Kysely, Migration } from 'kysely';

interface AuditRowTable {
  readonly id: Generated<number>;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  /** JSON object. */
  readonly detail: string;
}

export interface AuditTables {
  readonly audit: AuditRowTable;
}

export const auditMigration: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    await db.schema
      .createTable('audit')
      .addColumn('id', 'integer', (column) => column.primaryKey().autoIncrement())
      .addColumn('at', 'text', (column) => column.notNull())
      .addColumn('actor', 'text', (column) => column.notNull())
      .addColumn('action', 'text', (column) => column.notNull())
      .addColumn('subject', 'text', (column) => column.notNull())
      .addColumn('detail', 'text', (column) => column.notNull())
      .execute();
    await db.schema.createIndex('audit_subject').on('audit').columns(['subject', 'id']).execute();
  },
};

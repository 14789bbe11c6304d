// Tables of the audit domain and the migration that makes them.
import type { Kysely, Migration } from 'kysely';

export type AuditTables = Record<never, never>;

export const auditMigration: Migration = {
  up: async (_db: Kysely<unknown>): Promise<void> => {},
};

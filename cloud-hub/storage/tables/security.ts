// Tables of the security domain and the migration that makes them.
import type { Kysely, Migration } from 'kysely';

export type SecurityTables = Record<never, never>;

export const securityMigration: Migration = {
  up: async (_db: Kysely<unknown>): Promise<void> => {},
};

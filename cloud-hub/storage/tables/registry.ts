// Tables of the registry domain and the migration that makes them.
import type { Kysely, Migration } from 'kysely';

export type RegistryTables = Record<never, never>;

export const registryMigration: Migration = {
  up: async (_db: Kysely<unknown>): Promise<void> => {},
};

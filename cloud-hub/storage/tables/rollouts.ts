// Tables of the rollouts domain and the migration that makes them.
import type { Kysely, Migration } from 'kysely';

export type RolloutTables = Record<never, never>;

export const rolloutMigration: Migration = {
  up: async (_db: Kysely<unknown>): Promise<void> => {},
};

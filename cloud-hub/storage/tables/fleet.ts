// Tables of the fleet domain and the migration that makes them.
import type { Kysely, Migration } from 'kysely';

export type FleetTables = Record<never, never>;

export const fleetMigration: Migration = {
  up: async (_db: Kysely<unknown>): Promise<void> => {},
};

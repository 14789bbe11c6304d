// The hub's database: one Kysely type over the tables of all domains. Each domain declares its tables and its migration in
// `storage/tables/<domain>.ts`; this file puts them together. Dates are ISO text, JSON is text, ids are text or integers:
// what SQLite and PostgreSQL have in common.
import type { Kysely, Migration } from 'kysely';
import { auditMigration, type AuditTables } from './tables/audit.js';
import { dataMigration, deletedDatasetsMigration, sampleStatesMigration, type DataTables } from './tables/data.js';
import { fleetMigration, type FleetTables } from './tables/fleet.js';
import { mlflowMigration, type MlflowTables } from './tables/mlflow.js';
import { registryMigration, type RegistryTables } from './tables/registry.js';
import { rolloutKeysMigration, rolloutMigration, type RolloutTables } from './tables/rollouts.js';
import { securityMigration, type SecurityTables } from './tables/security.js';
import { tokenMigration, type TokenTables } from './tables/tokens.js';
import { jobKeysMigration, trainingMigration, type TrainingTables } from './tables/training.js';

export interface Tables
  extends
    AuditTables,
    DataTables,
    FleetTables,
    MlflowTables,
    RegistryTables,
    RolloutTables,
    SecurityTables,
    TokenTables,
    TrainingTables {}
export type Database = Kysely<Tables>;

/** In the order in which they run; names are never changed once released. */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-audit': auditMigration,
  '0002-security': securityMigration,
  '0003-registry': registryMigration,
  '0004-fleet': fleetMigration,
  '0005-rollouts': rolloutMigration,
  '0006-tokens': tokenMigration,
  '0007-data': dataMigration,
  '0008-training': trainingMigration,
  '0009-mlflow': mlflowMigration,
  '0010-job-keys': jobKeysMigration,
  '0011-rollout-keys': rolloutKeysMigration,
  '0012-sample-states': sampleStatesMigration,
  '0013-deleted-datasets': deletedDatasetsMigration,
};

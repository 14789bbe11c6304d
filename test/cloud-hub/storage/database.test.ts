import { MIGRATIONS } from '@tidegate/cloud-hub/storage/database.js';
import { auditMigration } from '@tidegate/cloud-hub/storage/tables/audit.js';
import { fleetMigration } from '@tidegate/cloud-hub/storage/tables/fleet.js';
import { registryMigration } from '@tidegate/cloud-hub/storage/tables/registry.js';
import { rolloutMigration } from '@tidegate/cloud-hub/storage/tables/rollouts.js';
import { securityMigration } from '@tidegate/cloud-hub/storage/tables/security.js';
import { tokenMigration } from '@tidegate/cloud-hub/storage/tables/tokens.js';
import { trainingMigration } from '@tidegate/cloud-hub/storage/tables/training.js';
import { expect, test } from 'vitest';

// Kysely remembers migrations by these names: renaming or reordering one breaks every database that exists. New ones come last.
test('migrations keep their names and their order', () => {
  expect(Object.entries(MIGRATIONS).slice(0, 6)).toEqual([
    ['0001-audit', auditMigration],
    ['0002-security', securityMigration],
    ['0003-registry', registryMigration],
    ['0004-fleet', fleetMigration],
    ['0005-rollouts', rolloutMigration],
    ['0006-tokens', tokenMigration],
  ]);
  expect(MIGRATIONS['0008-training']).toBe(trainingMigration);
  const names = Object.keys(MIGRATIONS);
  expect(names).toEqual(names.toSorted());
});

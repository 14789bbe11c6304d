// Deleting a dataset version: the row is marked and audited first, then the files go that no other version has. What is killed in between
// leaves files that no row names, and the next start removes those. Not while a training job that has not ended reads it. Called in the
// turn of freezes, so that none counts on a shard that is about to go.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { HubEvents } from '../hub-events.js';
import type { RecordAudit } from '../security/audit.js';
import type { Database } from '../storage/database.js';
import { OPEN_STATES } from '../training/jobs/job-store.js';
import { DataError } from './data-error.js';
import { readManifest } from './dataset-manifest.js';
import type { DatasetRow } from './dataset-rows.js';
import { isHeldByPackage } from './held-by-packages.js';

interface RemovalModules {
  readonly db: Database;
  readonly content: ContentStore;
  readonly files: Files;
  readonly events: HubEvents;
  readonly clock: Clock;
  readonly audit: RecordAudit;
}

/** Rejects with DataError `conflict` while a job uses it; nothing has changed then. */
export async function removeDataset(modules: RemovalModules, row: DatasetRow, actor: string): Promise<void> {
  const { db, content, events, clock, audit } = modules;
  const { name, version, digest } = row;
  const spec = `${name}@${version}`;
  const user = await openJobWith(db, digest);
  if (user !== undefined)
    throw new DataError('conflict', `job ${user} uses ${spec}; cancel it, or wait for its end`, { field: 'version' });
  const own = new Set([digest, ...(await shardsOf(modules, digest).catch(() => []))]); // a damaged one has nothing else to name
  await db.transaction().execute(async (trx) => {
    const deletedAt = new Date(clock.nowMs()).toISOString();
    await trx
      .updateTable('dataset_versions')
      .set({ deleted_at: deletedAt })
      .where('name', '=', name)
      .where('version', '=', version)
      .execute();
    const detail = { digest, count: row.count, from: row.query };
    await audit(trx, { actor, action: 'dataset.delete', subject: `dataset:${spec}`, detail }, clock.nowMs());
  });
  events.emit({ kind: 'dataset-deleted', name, version });
  for (const freed of await withoutOthers(modules, row, own))
    if (!(await isHeldByPackage(db, freed))) await content.remove(freed);
}

async function openJobWith(db: Database, digest: Digest): Promise<string | undefined> {
  const named = `%${digest}%`;
  const row = await db
    .selectFrom('jobs')
    .select('id')
    .where('state', 'in', OPEN_STATES)
    .where((eb) => eb.or([eb('datasets', 'like', named), eb('slices', 'like', named)]))
    .executeTakeFirst();
  return row?.id;
}

/** Of these files, those that no version still has. Samples are of one model, and so are shards of them. */
async function withoutOthers(
  modules: RemovalModules,
  { model }: DatasetRow,
  own: ReadonlySet<Digest>,
): Promise<ReadonlySet<Digest>> {
  const others = await modules.db
    .selectFrom('dataset_versions')
    .select('digest')
    .distinct()
    .where('model', '=', model)
    .where('deleted_at', 'is', null)
    .execute();
  const left = new Set(own);
  for (const { digest } of others) {
    if (left.size === 0) break;
    left.delete(digest);
    const shards = await shardsOf(modules, digest).catch(() => [...left]); // of a damaged one nobody knows which are its own
    for (const shard of shards) left.delete(shard);
    await nextTurn();
  }
  return left;
}

async function shardsOf({ files, content }: RemovalModules, digest: Digest): Promise<Digest[]> {
  const { shards } = await readManifest(digest, { files, pathOf: (of) => content.path(of) });
  return shards.map((shard) => shard.digest);
}

// Deleting versions over a real database and store: which files go, what stays named, and what keeps a version.
import { DatasetService } from '@tidegate/cloud-hub/data/dataset-service.js';
import { SampleIntake } from '@tidegate/cloud-hub/data/sample-intake.js';
import { HubEvents } from '@tidegate/cloud-hub/hub-events.js';
import { listAudit, recordAudit } from '@tidegate/cloud-hub/security/audit.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import type { LiveEvent } from '@tidegate/shared/wire/admin-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { addDigits, digitSample } from '../../support/captured-samples.js';
import { failingFiles, type FailingFiles } from '../../support/failing-files.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('dataset-removal');
const ACTOR = 'token:op';
let db: Database;
let content: ContentStore;
let files: FailingFiles;
let datasets: DatasetService;
let heard: LiveEvent[];
let intake: SampleIntake;

beforeEach(async () => {
  db = await openSqlite(':memory:');
  files = failingFiles();
  content = await ContentStore.open({ folder: folder() }, files);
  const clock = new ManualClock();
  const events = new HubEvents(silentLog);
  heard = [];
  events.on((event) => heard.push(event));
  await addDigits(db, content);
  intake = new SampleIntake({ db, content, events, clock });
  datasets = new DatasetService({ db, content, files, events, clock, audit: recordAudit });
});
afterEach(async () => {
  await datasets.close();
  await db.destroy();
});

async function add(seed: number, label: string): Promise<Digest> {
  const { id } = await intake.take(digitSample(seed), { device: 'd1' });
  await db.updateTable('samples').set({ state: 'labelled', label }).where('id', '=', id).execute();
  return id;
}
async function freeze(name = 'hard'): Promise<{ version: string; digest: Digest; shard: Digest }> {
  const { version } = await datasets.create({ name, heldOut: 0, from: 'model=digits' }, ACTOR);
  const manifest = JSON.parse(new TextDecoder().decode(await content.read(version.digest))) as {
    shards: { digest: Digest }[];
  };
  return { version: String(version.version), digest: version.digest, shard: manifest.shards[0]!.digest };
}
const isThere = async (digest: Digest): Promise<boolean> => (await content.sizeBytes(digest)) !== undefined;

describe('a deleted version', () => {
  test('is gone with its files, told of and audited; the samples and other versions stay', async () => {
    const sample = await add(1, '1');
    const first = await freeze();
    await add(2, '2');
    const second = await freeze();
    await datasets.delete('hard', first.version, ACTOR);
    expect([await isThere(first.digest), await isThere(first.shard)]).toEqual([false, false]);
    expect([await isThere(second.digest), await isThere(second.shard), await isThere(sample)]).toEqual([
      true,
      true,
      true,
    ]);
    expect((await datasets.versions({ name: 'hard', limit: 9 })).map(({ version }) => version)).toEqual([2]);
    await expect(datasets.get('hard', '1')).rejects.toMatchObject({
      code: 'not-found',
      field: 'version',
      message: expect.stringMatching(/^hard@1 was deleted at /) as string,
    });
    expect(heard.at(-1)).toEqual({ kind: 'dataset-deleted', name: 'hard', version: 1 });
    const [row] = await listAudit(db, { limit: 1 });
    expect(row).toMatchObject({
      actor: ACTOR,
      action: 'dataset.delete',
      subject: 'dataset:hard@1',
      detail: { count: 1 },
    });
  });

  test('leaves its number to nobody, also where it was the last one', async () => {
    await add(1, '1');
    const { digest } = await freeze();
    await datasets.delete('hard', 'latest', ACTOR);
    await expect(datasets.versions({ name: 'hard', limit: 9 })).rejects.toMatchObject({
      code: 'not-found',
      field: 'name',
    });
    expect(await datasets.list({ limit: 9 })).toEqual([]);
    const again = await freeze();
    expect(again).toMatchObject({ version: '2', digest });
    expect(await datasets.items('hard', '2', { limit: 9 })).toHaveLength(1);
  });

  test('keeps what another version has too, and a package’s file of the same bytes', async () => {
    await add(1, '1');
    const first = await freeze();
    const other = await freeze('same');
    expect(other.digest).toBe(first.digest);
    await datasets.delete('hard', '1', ACTOR);
    expect([await isThere(first.digest), await isThere(first.shard)]).toEqual([true, true]);
    await db
      .updateTable('versions')
      .set({ manifest: JSON.stringify({ files: [{ digest: first.shard }] }) })
      .execute();
    await datasets.delete('same', '1', ACTOR);
    expect([await isThere(first.digest), await isThere(first.shard)]).toEqual([false, true]);
  });

  test('takes nothing along where another manifest can’t be read: its shards might be among them', async () => {
    await add(1, '1');
    const first = await freeze();
    await add(2, '2');
    const second = await freeze();
    writeFileSync(content.path(second.digest), 'damaged');
    await datasets.delete('hard', '1', ACTOR);
    expect(await isThere(first.shard)).toBe(true); // the next start after a kill looks again
    await datasets.delete('hard', '2', ACTOR);
    expect(await isThere(second.digest)).toBe(false);
  });
});

describe('a version is kept', () => {
  test('while a training job that has not ended uses it, which is named', async () => {
    await add(1, '1');
    const { digest } = await freeze();
    const pinned = JSON.stringify([{ spec: 'hard@1', digest }]);
    const job = {
      ...{ id: 'j1', model: 'digits', parent: 1, parent_digest: 'sha256:p', request: '{}', priority: 0 },
      ...{ datasets: '[]', slices: pinned, state: 'queued', created_by: ACTOR, created_at: 'now' },
    } as const;
    await db
      .insertInto('jobs')
      .values(job as never)
      .execute();
    await expect(datasets.delete('hard', '1', ACTOR)).rejects.toMatchObject({
      code: 'conflict',
      message: 'job j1 uses hard@1; cancel it, or wait for its end',
    });
    expect(await datasets.get('hard', '1')).toMatchObject({ digest });
    await db
      .updateTable('jobs')
      .set({ state: 'succeeded' } as never)
      .execute();
    await datasets.delete('hard', '1', ACTOR);
    expect(await isThere(digest)).toBe(false);
  });

  test('where the database fails: nothing has gone then', async () => {
    await add(1, '1');
    const { digest, shard } = await freeze();
    await db.schema.dropTable('audit').execute();
    await expect(datasets.delete('hard', '1', ACTOR)).rejects.toThrow();
    expect([await isThere(digest), await isThere(shard), (await datasets.get('hard', '1')).version]).toEqual([
      true,
      true,
      1,
    ]);
  });
});

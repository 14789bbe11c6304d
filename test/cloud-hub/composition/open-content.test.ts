// Opening the store over a real database and real files, after a hub that ended and after one that was killed.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Closing } from '@tidegate/cloud-hub/composition/closing.js';
import { openContent } from '@tidegate/cloud-hub/composition/open-content.js';
import { dataPaths } from '@tidegate/cloud-hub/config/data-folder.js';
import { canonicalDataset } from '@tidegate/cloud-hub/data/dataset-manifest.js';
import { Uploads } from '@tidegate/cloud-hub/registry/uploads.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { hexOf, sha256, type Digest } from '@tidegate/shared/wire/digest.js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../support/manual-clock.js';
import { recordedLog } from '../../support/recorded-log.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('open-content');
let db: Database;
let paths: ReturnType<typeof dataPaths>;
let log: ReturnType<typeof recordedLog>;

beforeEach(async () => {
  db = await openSqlite(':memory:');
  paths = dataPaths(folder());
  log = recordedLog();
});
afterEach(() => db.destroy());

/** As a hub starts; one that isn't closed was killed. */
async function started(): Promise<{ content: ContentStore; closing: Closing }> {
  const closing = new Closing(log);
  return { content: await openContent({ paths, db, files: systemFiles, log }, closing), closing };
}
const put = (content: ContentStore, text: string): Promise<Digest> => content.putBytes(Buffer.from(text));

async function freeze(content: ContentStore): Promise<{ manifest: Digest; shard: Digest }> {
  const shard = await put(content, 'a shard');
  const shards = [{ digest: shard, sizeBytes: 7 }];
  const manifest = await put(
    content,
    canonicalDataset({ kind: 'dataset', model: 'digits', heldOut: 0, shards, items: [] }),
  );
  const row = { name: 'set', version: 1, digest: manifest, model: 'digits', query: '{}', held_out: 0, labels: '{}' };
  const sizes = { manifest_bytes: 1, count: 0, train_count: 0, held_out_count: 0, unlabelled: 0, size_bytes: 7 };
  await db
    .insertInto('dataset_versions')
    .values({ ...row, ...sizes, created_at: '' })
    .execute();
  return { manifest, shard };
}

async function upload(content: ContentStore): Promise<{ whole: Digest; begun: Digest }> {
  const uploads = new Uploads(db, content, new ManualClock());
  const [whole, begun] = ['a whole file', 'a file that has begun'].map((text) => sha256(text)) as [Digest, Digest];
  const file = (path: string, digest: Digest, sizeBytes: number) => ({ path, digest, sizeBytes });
  const files = [file('a', whole, 12), file('b', begun, 21)];
  const { id } = await uploads.create({ model: 'ocr', files, allowUnknownLicence: false }, 'token:ci');
  await uploads.receive(id, hexOf(whole), 0, pieces('a whole file'));
  await uploads.receive(id, hexOf(begun), 0, pieces('a file'));
  return { whole, begun };
}
async function* pieces(text: string): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(Buffer.from(text));
}

test('what rows name stays after a kill, also what open uploads have received; the rest goes, with a line that counts it', async () => {
  const killed = await started();
  const { manifest, shard } = await freeze(killed.content);
  const { whole, begun } = await upload(killed.content);
  const orphan = await put(killed.content, 'of no row');
  await writeFile(join(paths.content, 'partial', hexOf(sha256('cut off'))), 'cut');

  const { content } = await started();
  expect((await content.list()).sort()).toEqual([manifest, shard, whole].sort());
  expect(await content.partialBytes(begun)).toBe(6);
  expect(await content.partialBytes(sha256('cut off'))).toBe(0);
  expect(await content.has(orphan)).toBe(false);
  expect(log.lines).toMatchObject([{ level: 'warn', fields: { removed: 2, freedBytes: 12 } }]);
});

test('nothing is looked for after an orderly end', async () => {
  const ended = await started();
  const orphan = await put(ended.content, 'of no row');
  await ended.closing.run();
  const { content } = await started();
  expect(await content.has(orphan)).toBe(true);
});

test("nothing goes where a dataset's manifest can't be read", async () => {
  const killed = await started();
  const { manifest, shard } = await freeze(killed.content);
  await writeFile(killed.content.path(manifest), 'damaged');
  const orphan = await put(killed.content, 'of no row');
  const { content } = await started();
  expect((await content.list()).sort()).toEqual([manifest, shard, orphan].sort());
  expect(log.lines).toMatchObject([{ level: 'error' }]);
});

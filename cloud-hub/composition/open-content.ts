// The content store, without what a hub that was killed left in it: bodies, shards and files whose rows were never written. Looked for
// only after a start that no orderly end followed, and before anything else is open: nobody adds to the store then, so what no row
// names is nobody's. What an open upload has received is named by its row, and stays for as long as it can be continued.
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { readManifest } from '../data/dataset-manifest.js';
import type { DataPaths } from '../config/data-folder.js';
import type { Database } from '../storage/database.js';
import type { Closing } from './closing.js';

interface ContentModules {
  readonly paths: Pick<DataPaths, 'content' | 'running'>;
  /** Its lock says that no other hub works on the folder. */
  readonly db: Database;
  readonly files: Files;
  readonly log: Log;
}

/** Rejects where the folder can't be written. What can't be swept stays, and the hub starts all the same. */
export async function openContent({ paths, db, files, log }: ContentModules, closing: Closing): Promise<ContentStore> {
  const content = await ContentStore.open({ folder: paths.content }, files);
  if ((await files.sizeBytes('hub.running', paths.running)) !== undefined) {
    try {
      const { removed, freedBytes } = await content.removeExcept(await namedByRows(db, content, files));
      if (removed > 0)
        log.warn({ removed, freedBytes }, 'removed what the last hub, which was killed, left unfinished');
    } catch (cause) {
      log.error({ err: cause }, 'what the last hub left unfinished could not be removed');
    }
  }
  await files.writeAtomic('hub.running', paths.running, '');
  closing.add('running', () => files.remove('hub.running', paths.running));
  return content;
}

/** Rejects where a dataset's manifest can't be read: nobody knows then which shards are its own. */
async function namedByRows(db: Database, content: ContentStore, files: Files): Promise<ReadonlySet<Digest>> {
  const named = new Set<Digest>();
  const lists = [
    ...(await db.selectFrom('versions').select('manifest as text').execute()),
    ...(await db.selectFrom('variants').select('manifest as text').execute()),
    ...(await db.selectFrom('uploads').select('files as text').execute()),
  ];
  for (const { text } of lists) for (const digest of text.match(/sha256:[0-9a-f]{64}/g) ?? []) named.add(digest);
  for (const { id } of await db.selectFrom('samples').select('id').execute()) named.add(id);
  for (const { digest } of await db
    .selectFrom('dataset_versions')
    .select('digest')
    .where('deleted_at', 'is', null)
    .execute()) {
    const { shards } = await readManifest(digest, { files, pathOf: (of) => content.path(of) });
    named.add(digest);
    for (const shard of shards) named.add(shard.digest);
  }
  return named;
}

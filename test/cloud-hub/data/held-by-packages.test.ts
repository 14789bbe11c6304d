import { isHeldByPackage } from '@tidegate/cloud-hub/data/held-by-packages.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { expect, test } from 'vitest';
import { addDigits } from '../../support/captured-samples.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('held-by-packages');

test('a blob is held where a version’s manifest names it, and not otherwise', async () => {
  const db = await openSqlite(':memory:');
  await addDigits(db, await ContentStore.open({ folder: folder() }, systemFiles));
  const held = sha256('a file');
  await db
    .updateTable('versions')
    .set({ manifest: JSON.stringify({ files: [{ digest: held }] }) })
    .execute();
  expect([await isHeldByPackage(db, held), await isHeldByPackage(db, sha256('another'))]).toEqual([true, false]);
  await db.destroy();
});

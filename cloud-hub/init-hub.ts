// `tidegate-hub init`: makes the data folder with database, keys and the first admin token. The token's text exists only in what this
// returns. The marker is written last; an init that was interrupted is simply run again.
import * as fs from 'node:fs/promises';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import { DataFolderError, dataPaths, isInitialised, markInitialised } from './config/data-folder.js';
import { initKeys } from './security/certificate-authority.js';
import { Tokens } from './security/tokens.js';
import { openSqlite } from './storage/sqlite/open-sqlite.js';

/** Rejects with DataFolderError where the folder has a hub already. */
export async function initHub(dataDir: string, clock: Clock, files: Files): Promise<{ token: string }> {
  if (await isInitialised(files, dataDir)) {
    throw new DataFolderError(`${dataDir} already holds a hub; its tokens are made with: tidegate token create`);
  }
  const paths = dataPaths(dataDir);
  await fs.mkdir(dataDir, { recursive: true, mode: 0o700 });
  await initKeys(paths.keys, files, clock);
  const db = await openSqlite(paths.database);
  try {
    const { token } = await new Tokens(db, clock).create({ name: 'admin', scopes: ['admin'] }, 'system:init');
    await markInitialised(files, dataDir, clock.nowMs());
    return { token };
  } finally {
    await db.destroy();
  }
}

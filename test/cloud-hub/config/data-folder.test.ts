import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { DataFolderError, dataPaths, requireInitialised } from '@tidegate/cloud-hub/config/data-folder.js';
import { initHub } from '@tidegate/cloud-hub/init-hub.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { expect, test } from 'vitest';
import { failingFiles } from '../../support/failing-files.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('data-folder');

test('a folder without a hub is refused with the command that makes one', async () => {
  await expect(requireInitialised(systemFiles, folder())).rejects.toThrow(/tidegate-hub init --data-dir/);
});

test('init makes it, for its owner only, and not twice', async () => {
  const dataDir = join(folder(), 'hub');
  const { token } = await initHub(dataDir, systemClock, systemFiles);
  expect(token).toMatch(/^tgk_/);
  expect(await requireInitialised(systemFiles, dataDir)).toEqual(dataPaths(dataDir));
  expect((await fs.stat(dataDir)).mode & 0o077).toBe(0);
  for (const key of await fs.readdir(dataPaths(dataDir).keys)) {
    if (key.endsWith('.pem')) expect((await fs.stat(join(dataPaths(dataDir).keys, key))).mode & 0o077).toBe(0);
  }
  await expect(initHub(dataDir, systemClock, systemFiles)).rejects.toBeInstanceOf(DataFolderError);
});

test('an init that was interrupted is no hub, and can be run again', async () => {
  const dataDir = join(folder(), 'hub');
  const files = failingFiles();
  files.failNext('keys.write', 'ENOSPC');
  await expect(initHub(dataDir, systemClock, files)).rejects.toThrow('ENOSPC');
  files.failNext('hub.mark', 'EIO');
  await expect(initHub(dataDir, systemClock, files)).rejects.toThrow('EIO');
  await expect(requireInitialised(systemFiles, dataDir)).rejects.toBeInstanceOf(DataFolderError);
  await initHub(dataDir, systemClock, files);
  await expect(requireInitialised(systemFiles, dataDir)).resolves.toBeDefined();
});

test('a marker of a newer hub, or a damaged one, is not guessed at', async () => {
  const dataDir = join(folder(), 'hub');
  await initHub(dataDir, systemClock, systemFiles);
  for (const text of ['{"format":2,"createdAt":"x"}', '{']) {
    await fs.writeFile(dataPaths(dataDir).marker, text);
    await expect(requireInitialised(systemFiles, dataDir)).rejects.toThrow(/damaged, or of a newer hub/);
  }
});

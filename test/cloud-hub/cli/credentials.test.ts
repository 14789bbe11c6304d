import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { hubUrl, readCredentials, storeCredentials } from '@tidegate/cloud-hub/cli/credentials.js';
import { expect, test } from 'vitest';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('credentials');
const stored = { hub: 'http://127.0.0.1:9000', token: 'tgk_a' };

test('what login stored is read again, and readable by its owner only', async () => {
  const environment = { TIDEGATE_CONFIG_DIR: join(folder(), 'deep') };
  const path = await storeCredentials(environment, stored);
  expect((await fs.stat(path)).mode & 0o077).toBe(0);
  expect(await readCredentials(environment)).toEqual(stored);
});

test('the environment comes first; a stored token is not sent to another hub', async () => {
  const environment = { TIDEGATE_CONFIG_DIR: folder() };
  await storeCredentials(environment, stored);
  const other = 'http://other:9000';
  expect(await readCredentials({ ...environment, TIDEGATE_HUB: other, TIDEGATE_TOKEN: 't' })).toEqual({
    hub: other,
    token: 't',
  });
  expect((await readCredentials({ ...environment, TIDEGATE_TOKEN: 't' })).token).toBe('t');
  await expect(readCredentials({ ...environment, TIDEGATE_HUB: other })).rejects.toThrow(/tidegate login/);
});

test('nobody logged in, or a damaged file, is said with what to do', async () => {
  const environment = { TIDEGATE_CONFIG_DIR: folder() };
  await expect(readCredentials(environment)).rejects.toMatchObject({
    exitCode: 1,
    message: expect.stringContaining('tidegate login'),
  });
  await fs.writeFile(join(environment.TIDEGATE_CONFIG_DIR, 'hub.json'), '{');
  await expect(readCredentials(environment)).rejects.toThrow(/damaged/);
});

test('an address is an origin', () => {
  expect(hubUrl('https://hub.example:9000/console?x')).toBe('https://hub.example:9000');
  for (const text of ['hub:9000', '127.0.0.1', 'ftp://x', '']) expect(() => hubUrl(text)).toThrow(/must look like/);
});

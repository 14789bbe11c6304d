import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { enrol } from '@tidegate/edge-agent/identity/enrol.js';
import { identityPaths, loadIdentity, storeIdentity } from '@tidegate/edge-agent/identity/identity.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { startDeviceHub, type DeviceHub } from '../../support/device-hub.js';
import { failingFiles } from '../../support/failing-files.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('identity');
let hub: DeviceHub;
beforeAll(async () => {
  hub = await startDeviceHub(newFolder());
});
afterAll(() => hub.close());

async function enrolled(): Promise<string> {
  const dataDir = newFolder();
  const modules = { files: systemFiles, clock: systemClock };
  await enrol({ dataDir, token: await hub.newToken() }, modules, new AbortController().signal);
  return dataDir;
}

describe('loading the identity', () => {
  it('says how to enrol where there is none', async () => {
    await expect(loadIdentity(newFolder(), systemFiles)).rejects.toMatchObject({
      code: 'not-enrolled',
      message: expect.stringContaining('tidegate-agent enroll'),
    });
  });

  it.each(['key', 'document'] as const)(
    'says which file is damaged: %s, and enrolling anew mends it',
    async (which) => {
      const dataDir = await enrolled();
      const path = identityPaths(dataDir)[which];
      truncateSync(path, 20);
      await expect(loadIdentity(dataDir, systemFiles)).rejects.toMatchObject({ code: 'damaged' });
      const modules = { files: systemFiles, clock: systemClock };
      await enrol({ dataDir, token: await hub.newToken() }, modules, new AbortController().signal);
      await loadIdentity(dataDir, systemFiles);
    },
  );

  it('refuses a key that is not of the certificate', async () => {
    const dataDir = await enrolled();
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    writeFileSync(identityPaths(dataDir).key, other.export({ format: 'pem', type: 'pkcs8' }));
    await expect(loadIdentity(dataDir, systemFiles)).rejects.toMatchObject({ code: 'damaged' });
  });

  it('stays the old one when a new one could not be written (B5)', async () => {
    const dataDir = await enrolled();
    const { keyPem: _, ...document } = await loadIdentity(dataDir, systemFiles);
    const before = readFileSync(identityPaths(dataDir).document, 'utf8');
    const files = failingFiles();
    files.failNext('identity.write', 'ENOSPC');
    const changed = { ...document, group: 'other' };
    await expect(storeIdentity(dataDir, changed, files)).rejects.toMatchObject({ code: 'storage' });
    expect(readFileSync(identityPaths(dataDir).document, 'utf8')).toBe(before);
  });
});

import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { KeyStore } from '@tidegate/cloud-hub/security/key-store.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('keys');

describe('the key store', () => {
  it('makes its keys once, readable by the owner only', async () => {
    const folder = newFolder();
    const keys = new KeyStore(folder, systemFiles);
    await keys.makeMissing();
    const names = readdirSync(folder);
    expect(names.sort()).toEqual([
      'ca.pem',
      'tuf-root.pem',
      'tuf-snapshot.pem',
      'tuf-targets.pem',
      'tuf-timestamp.pem',
    ]);
    for (const name of names) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
    const before = names.map((name) => readFileSync(join(folder, name), 'utf8'));
    await keys.makeMissing();
    expect(names.map((name) => readFileSync(join(folder, name), 'utf8'))).toEqual(before);
    expect((await keys.privateKey('ca')).asymmetricKeyType).toBe('ec');
    expect((await keys.privateKey('tuf-root')).asymmetricKeyType).toBe('ed25519');
  });

  it('says which key was taken away or damaged', async () => {
    const folder = newFolder();
    const keys = new KeyStore(folder, systemFiles);
    await keys.makeMissing();
    renameSync(join(folder, 'tuf-root.pem'), join(folder, 'elsewhere'));
    await expect(keys.privateKey('tuf-root')).rejects.toMatchObject({
      code: 'keys-missing',
      message: expect.stringContaining('tuf-root.pem'),
    });
    writeFileSync(join(folder, 'tuf-root.pem'), 'no key');
    await expect(keys.privateKey('tuf-root')).rejects.toMatchObject({ code: 'keys-damaged' });
  });

  it('keeps public files beside them', async () => {
    const keys = new KeyStore(newFolder(), systemFiles);
    expect(await keys.publicFile('ca.crt')).toBe(undefined);
    await keys.writePublicFile('ca.crt', 'text');
    expect(await keys.publicFile('ca.crt')).toBe('text');
  });
});

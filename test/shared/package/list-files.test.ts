import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hashFiles, listFiles } from '@tidegate/shared/package/list-files.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { LIMIT_PACKAGE_FILES } from '@tidegate/shared/wire/manifest.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('list-files');

describe('listFiles', () => {
  it('sorts by code unit, so that every machine finds the same order', async () => {
    const folder = newFolder();
    for (const name of ['b', 'a-1', 'a', 'B', 'é', 'z']) writeFileSync(join(folder, name), '');
    mkdirSync(join(folder, 'a.d'));
    writeFileSync(join(folder, 'a.d', 'x'), '');
    expect(await listFiles(folder)).toEqual(['B', 'a', 'a-1', 'a.d/x', 'b', 'z', 'é']);
  });

  it('refuses more files than a package holds', async () => {
    const folder = newFolder();
    for (let at = 0; at < LIMIT_PACKAGE_FILES; at += 1) writeFileSync(join(folder, `${at}`), '');
    expect(await listFiles(folder)).toHaveLength(LIMIT_PACKAGE_FILES);
    writeFileSync(join(folder, 'one-more'), '');
    await expect(listFiles(folder)).rejects.toMatchObject({ name: 'PackageError', code: 'too-large' });
  });

  it('refuses folders nested too deep', async () => {
    const folder = newFolder();
    mkdirSync(join(folder, ...Array<string>(17).fill('d')), { recursive: true });
    await expect(listFiles(folder)).rejects.toMatchObject({ code: 'too-large' });
  });

  it('refuses what is no file, without opening it', async () => {
    const folder = newFolder();
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    await expect(listFiles(folder)).rejects.toMatchObject({
      code: 'invalid-file',
      message: 'pipe: is neither a file nor a folder',
    });
  });

  it('refuses a name that has another meaning elsewhere', async () => {
    const folder = newFolder();
    writeFileSync(join(folder, 'a\\b'), '');
    await expect(listFiles(folder)).rejects.toMatchObject({ code: 'invalid-file' });
  });
});

describe('hashFiles', () => {
  it('hashes files larger than one chunk, and empty ones', async () => {
    const folder = newFolder();
    const large = Buffer.alloc(3 * 1024 * 1024 + 7, 'tide');
    writeFileSync(join(folder, 'large'), large);
    writeFileSync(join(folder, 'empty'), '');
    expect(await hashFiles(folder, ['large', 'empty'])).toEqual([
      { path: 'large', sizeBytes: large.length, digest: sha256(large) },
      { path: 'empty', sizeBytes: 0, digest: sha256('') },
    ]);
  });
});

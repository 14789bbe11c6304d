import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findPackages } from '@tidegate/shared/package/find-packages.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('find-packages');

function folderWith(...paths: string[]): string {
  const folder = newFolder();
  for (const path of paths) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), 'x');
  }
  return folder;
}

describe('findPackages', () => {
  it('finds an .onnx file', async () => {
    const folder = folderWith('Digits.onnx');
    expect(await findPackages(join(folder, 'Digits.onnx'))).toEqual([
      { path: join(folder, 'Digits.onnx'), name: 'digits' },
    ]);
  });

  it('finds a package folder, and does not look into it for more', async () => {
    const folder = folderWith('model.yaml', 'net.onnx');
    expect(await findPackages(folder)).toEqual([{ path: folder }]);
  });

  it('finds what a folder holds, hidden things left out', async () => {
    const folder = folderWith('b/model.yaml', 'a.onnx', '.hidden/model.yaml', 'notes.txt', 'empty/notes.txt');
    expect(await findPackages(folder)).toEqual([
      { path: join(folder, 'a.onnx'), name: 'a' },
      { path: join(folder, 'b') },
    ]);
  });

  it('takes the highest version of each model of a repository, by number', async () => {
    const folder = folderWith(
      'net/1/model.onnx',
      'net/9/model.onnx',
      'net/10/model.onnx',
      'net/old/model.onnx',
      'reader/2/model.yaml',
      'reader/3/notes.txt',
    );
    expect(await findPackages(folder)).toEqual([
      { path: join(folder, 'net/10/model.onnx'), name: 'net', version: '10' },
      { path: join(folder, 'reader/2'), version: '2' },
    ]);
    expect(await findPackages(join(folder, 'net'))).toEqual([
      { path: join(folder, 'net/10/model.onnx'), name: 'net', version: '10' },
    ]);
  });

  it.each([
    ['a folder with nothing to serve', 'notes.txt', '', 'not-a-package'],
    ['another file', 'notes.txt', 'notes.txt', 'not-a-package'],
    ['a path that is not there', 'notes.txt', 'gone', 'not-found'],
  ])('says so for %s', async (_, file, path, code) => {
    await expect(findPackages(join(folderWith(file), path))).rejects.toMatchObject({ name: 'PackageError', code });
  });
});

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { readImportList, type LabelFrom } from '@tidegate/cloud-hub/cli/import-list.js';
import { describe, expect, test } from 'vitest';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('import-list');

function folderWith(files: readonly string[], csv?: string): string {
  const root = folder();
  for (const file of files) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), 'x');
  }
  if (csv !== undefined) writeFileSync(join(root, 'labels.csv'), csv);
  return root;
}
async function listed(root: string, from?: LabelFrom, path = root) {
  const { files, skipped } = await readImportList(path, from);
  return { files: files.map((file) => [relative(root, file.path), file.label, file.split]), skipped };
}

describe('a folder per class', () => {
  test('gives its files in the names’ order, deep ones too, and says what it left out', async () => {
    const root = folderWith(['b/2.PNG', 'b/1.jpg', 'a/deep/er/3.webp', 'a/4.npy', 'a/notes.txt', 'top.png', '.git/x.png', 'a/.DS_Store']); // prettier-ignore
    symlinkSync(join(root, 'b/1.jpg'), join(root, 'a/5.jpg'));
    symlinkSync(join(root, 'nowhere'), join(root, 'a/6.jpg'));
    expect(await listed(root)).toEqual({
      files: [
        ['a/4.npy', 'a', undefined],
        ['a/5.jpg', 'a', undefined],
        ['a/deep/er/3.webp', 'a', undefined],
        ['b/1.jpg', 'b', undefined],
        ['b/2.PNG', 'b', undefined],
      ],
      skipped: ['a/notes.txt', 'top.png'],
    });
  });

  test('that isn’t there, or holds nothing, is wrong usage', async () => {
    await expect(listed(join(folder(), 'none'))).rejects.toMatchObject({ exitCode: 2 });
    await expect(listed(folderWith(['top.png']))).rejects.toThrow(
      'no folder of files (png, jpg, jpeg, webp, npy) per class',
    );
    await expect(listed(folderWith(['a/1.png']), 'csv')).rejects.toThrow('has no labels.csv');
  });
});

describe('a CSV', () => {
  test('is taken where it is named, or lies in the folder, unless folders are asked for', async () => {
    const root = folderWith(['a/1.png', 'b/2.png'], 'a/1.png,one\n"b/2.png","t,wo"\n');
    const files = [
      ['a/1.png', 'one', undefined],
      ['b/2.png', 't,wo', undefined],
    ];
    expect((await listed(root)).files).toEqual(files);
    expect((await listed(root, 'csv', join(root, 'labels.csv'))).files).toEqual(files);
    expect((await listed(root, 'folder')).files.map(([, label]) => label)).toEqual(['a', 'b']);
    await expect(listed(root, 'folder', join(root, 'labels.csv'))).rejects.toThrow('needs a folder');
  });

  test('may have a header, in any order and with more columns, and a split', async () => {
    const root = folderWith(['1.png', '2.png'], 'id,Label,path,split\nx,7,1.png,train\ny,8,2.png,held-out\n');
    expect((await listed(root)).files).toEqual([
      ['1.png', '7', 'train'],
      ['2.png', '8', 'held-out'],
    ]);
  });

  test.each([
    ['1.png\n', 'line 1: a row is path,label[,split]'],
    ['path,label\n1.png,1\n../2.png,1\n', 'line 3: ../2.png is outside the folder'],
    ['/etc/passwd,1\n', 'outside the folder'],
    ['a/../../x,1\n', 'outside the folder'],
    ['1.png,1,test\n', '"test" is neither train nor held-out'],
    ['1.png,1,train\n2.png,1\n', '1 of 2 rows state no split'],
    ['path,label\n', 'lists no file'],
    ['"1.png,1\n', 'line 1: quotes'],
  ])('%j says what is wrong', async (csv, message) => {
    const reading = listed(folderWith(['1.png'], csv));
    await expect(reading).rejects.toThrow(message);
    await expect(reading).rejects.toMatchObject({ exitCode: 2 });
  });
});

import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { PackageFolders } from '@tidegate/cloud-hub/registry/package-folders.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { expect, test } from 'vitest';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('package-folders');
const entry = (path: string, text: string) => ({ path, sizeBytes: text.length, digest: sha256(text) });
const DIGEST = sha256('manifest');

async function open(): Promise<{ root: string; content: ContentStore; folders: PackageFolders }> {
  const content = await ContentStore.open({ folder: folder() }, systemFiles);
  const root = folder();
  return { root, content, folders: new PackageFolders(root, content) };
}

test('a package lies in its folder as it was published, once', async () => {
  const { content, folders } = await open();
  for (const text of ['yaml', 'graph']) await content.putBytes(Buffer.from(text));
  const files = [entry('model.yaml', 'yaml'), entry('deep/er/m.onnx', 'graph'), entry('copy', 'yaml')];
  const [path, same] = await Promise.all([folders.folderOf(DIGEST, files), folders.folderOf(DIGEST, files)]);
  expect(same).toBe(path);
  expect(await fs.readFile(join(path, 'deep/er/m.onnx'), 'utf8')).toBe('graph');
  expect(await fs.readFile(join(path, 'copy'), 'utf8')).toBe('yaml');
  expect((await fs.stat(join(path, 'deep/er/m.onnx'))).nlink).toBeGreaterThan(1);
});

test('a missing file leaves no folder, and it is made once the file is there', async () => {
  const { root, content, folders } = await open();
  const files = [entry('a', 'a'), entry('b', 'b')];
  await content.putBytes(Buffer.from('a'));
  await expect(folders.folderOf(DIGEST, files)).rejects.toThrow(/ENOENT/);
  expect(await fs.readdir(root)).toEqual([]);
  await content.putBytes(Buffer.from('b'));
  expect(await fs.readdir(await folders.folderOf(DIGEST, files))).toEqual(['a', 'b']);
});

test('a path that leaves the package is refused', async () => {
  const { root, content, folders } = await open();
  await content.putBytes(Buffer.from('a'));
  await expect(folders.folderOf(DIGEST, [entry('../evil', 'a')])).rejects.toThrow(/relative path/);
  expect(await fs.readdir(root)).toEqual([]);
});

test('files that were made elsewhere are taken into the store; leftovers of a killed run go', async () => {
  const { root, content, folders } = await open();
  const made = folder();
  await fs.writeFile(join(made, 'm.onnx'), 'graph');
  await folders.storeFolder(made, [entry('m.onnx', 'graph')]);
  expect(Buffer.from(await content.read(sha256('graph'))).toString()).toBe('graph');
  await fs.mkdir(join(root, 'abc.123.tmp'), { recursive: true });
  await folders.removeUnfinished();
  expect(await fs.readdir(root)).toEqual([]);
});

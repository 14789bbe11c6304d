import { readFileSync, rmSync, statSync, writeFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ModelStore } from '@tidegate/edge-agent/model-store/model-store.js';
import { systemFiles, type Files } from '@tidegate/shared/system/files.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { canonicalManifest } from '@tidegate/shared/wire/manifest.js';
import { failingFiles } from '../../support/failing-files.js';
import { FakePackageSource, type FakeVersion } from '../../support/fake-package-source.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('model-store');
const signal = new AbortController().signal;

const held = (...texts: string[]) => heldBy(systemFiles, ...texts);

async function heldBy(files: Files, ...texts: string[]): Promise<{ store: ModelStore; versions: FakeVersion[] }> {
  const source = new FakePackageSource();
  const store = await ModelStore.open({ dataDir: folder() }, files);
  source.content = store.content;
  const versions = texts.map((text, index) => source.publish('digits', index + 1, text));
  for (const { manifest, model } of versions) {
    await store.saveManifest(model.variantDigest, Buffer.from(canonicalManifest(manifest)));
    for (const file of await store.missing(manifest)) await source.fetchFile(file, () => undefined, signal);
  }
  return { store, versions };
}

describe('the model store', () => {
  it('assembles a package whose files share their bytes with the content', async () => {
    const { store, versions } = await held('one');
    const { variantDigest } = (versions[0] as FakeVersion).model;
    const path = await store.verifyPackage(variantDigest, signal);
    expect(readFileSync(join(path, 'model.onnx'), 'utf8')).toBe('one');
    expect(readFileSync(join(path, 'assets', 'dictionary.txt'), 'utf8')).toContain('shared');
    expect(statSync(join(path, 'model.onnx')).nlink).toBe(2);
    // Again, over a folder that holds something else.
    writeFileSync(join(path, 'stray.onnx'), 'x');
    expect(existsSync(join(await store.verifyPackage(variantDigest, signal), 'stray.onnx'))).toBe(false);
  });

  it('refuses a manifest that is not its digest, or not a manifest', async () => {
    const { store, versions } = await held('one');
    const bytes = Buffer.from(canonicalManifest((versions[0] as FakeVersion).manifest));
    await expect(store.saveManifest(sha256('other'), bytes)).rejects.toMatchObject({ code: 'damaged' });
    const outside = Buffer.from(bytes.toString().replace('model.onnx', '../../x.onnx'));
    await expect(store.saveManifest(sha256(outside), outside)).rejects.toThrow(/not a variant manifest/);
  });

  it('notices bytes that changed on disk, names the file, and will fetch exactly that again', async () => {
    const { store, versions } = await held('one');
    const { manifest, model } = versions[0] as FakeVersion;
    const file = manifest.files.find(({ path }) => path === 'model.onnx');
    writeFileSync(store.content.path(String(file?.digest)), 'eno');
    await expect(store.verifyPackage(model.variantDigest, signal)).rejects.toThrow(/model\.onnx .* changed on disk/);
    expect(await store.missing(manifest)).toEqual([file]);
    await expect(store.verifyPackage(model.variantDigest, signal)).rejects.toMatchObject({ code: 'missing' });
  });

  it('verifies what lies there where the volume became read-only, and serves nothing else', async () => {
    const files = failingFiles();
    const { store, versions } = await heldBy(files, 'one');
    const { variantDigest } = (versions[0] as FakeVersion).model;
    const path = await store.verifyPackage(variantDigest, signal);
    files.failNext('models.assemble', 'EROFS');
    expect(await store.verifyPackage(variantDigest, signal)).toBe(path);
    writeFileSync(join(path, 'model.onnx'), 'eno');
    files.failNext('models.assemble', 'EROFS');
    await expect(store.verifyPackage(variantDigest, signal)).rejects.toThrow(/model\.onnx .* changed on disk/);
  });

  it('counts a changed manifest as none', async () => {
    const { store, versions } = await held('one');
    const { variantDigest } = (versions[0] as FakeVersion).model;
    writeFileSync(join(store.packageFolder(variantDigest), '../../manifests', `${variantDigest.slice(7)}.json`), '{}');
    expect(await store.manifest(variantDigest)).toBeUndefined();
    await expect(store.verifyPackage(variantDigest, signal)).rejects.toMatchObject({ code: 'missing' });
  });

  it('deletes what is not kept, and keeps files that a kept version shares', async () => {
    const { store, versions } = await held('one', 'two');
    const [one, two] = versions.map(({ model }) => model.variantDigest) as [string, string];
    await store.verifyPackage(one, signal);
    await store.verifyPackage(two, signal);
    expect(await store.removeExcept(new Set([two]))).toBe(3);
    expect(await store.variants()).toEqual([two]);
    rmSync(store.packageFolder(two), { recursive: true });
    await store.verifyPackage(two, signal);
    expect(existsSync(store.packageFolder(one))).toBe(false);
  });

  it('ends verifying when it is called off', async () => {
    const { store, versions } = await held('one');
    const stopped = AbortSignal.abort(new Error('called off'));
    const { variantDigest } = (versions[0] as FakeVersion).model;
    await expect(store.verifyPackage(variantDigest, stopped)).rejects.toThrow('called off');
  });
});

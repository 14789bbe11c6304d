import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { GraphSignature } from '@tidegate/shared/package/model-package.js';
import { openPackage, type OpenPackageDeps } from '@tidegate/shared/package/open-package.js';
import { PackageError } from '@tidegate/shared/package/package-error.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { manifestDigest } from '@tidegate/shared/wire/manifest.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('open-package');
const YAML = `name: tiny
licence: MIT
inputs: [{name: x, datatype: FP32, shape: [-1, 2]}]
outputs: [{name: y, datatype: FP32, shape: [-1, 2]}]
pipeline: [{graph: nets/tiny.onnx}]
`;
const signature: GraphSignature = {
  inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }],
  outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 2] }],
};
const deps: OpenPackageDeps = { inspect: () => Promise.resolve(signature) };

function folderWith(files: Readonly<Record<string, string>>): string {
  const folder = newFolder();
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

const rejection = async (act: Promise<unknown>): Promise<PackageError> => {
  const error = await act.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  expect(error).toBeInstanceOf(PackageError);
  return error as PackageError;
};

describe('openPackage', () => {
  it('reads a folder: its files by path, each hashed, and the digest over them', async () => {
    const folder = folderWith({ 'model.yaml': YAML, 'nets/tiny.onnx': 'net', 'labels.txt': 'a\nb\n' });
    const pack = await openPackage(folder, deps);
    expect(pack.hasYaml).toBe(true);
    expect(pack.files.map(({ path }) => path)).toEqual(['labels.txt', 'model.yaml', 'nets/tiny.onnx']);
    expect(pack.files[2]).toEqual({ path: 'nets/tiny.onnx', sizeBytes: 3, digest: sha256('net') });
    expect(pack.versionDigest).toBe(manifestDigest({ kind: 'version', model: 'tiny', files: [...pack.files] }));
    expect(new TextDecoder().decode(await pack.read('labels.txt'))).toBe('a\nb\n');
    expect(pack.pathOf('nets/tiny.onnx')).toBe(join(folder, 'nets/tiny.onnx'));
  });

  it('gives equal files the same digest wherever they lie, and others another', async () => {
    const files = { 'model.yaml': YAML, 'nets/tiny.onnx': 'net' };
    const [one, two] = await Promise.all([openPackage(folderWith(files), deps), openPackage(folderWith(files), deps)]);
    expect(two?.versionDigest).toBe(one?.versionDigest);
    const renamed = await openPackage(folderWith({ ...files, 'nets/copy.onnx': 'net' }), deps);
    expect(renamed.versionDigest).not.toBe(one?.versionDigest);
  });

  it('leaves hidden files out', async () => {
    const folder = folderWith({ 'model.yaml': YAML, 'nets/tiny.onnx': 'net', '.git/config': 'x', '.DS_Store': 'x' });
    expect((await openPackage(folder, deps)).files).toHaveLength(2);
  });

  it('refuses symbolic links, whatever they point to', async () => {
    const folder = folderWith({ 'model.yaml': YAML, 'nets/tiny.onnx': 'net' });
    symlinkSync('/etc/hostname', join(folder, 'nets', 'secret'));
    const error = await rejection(openPackage(folder, deps));
    expect(error.code).toBe('invalid-file');
    expect(error.message).toBe('nets/secret: is a symbolic link; a package holds its files itself');
  });

  it('refuses a model.yaml that is a link before it reads it', async () => {
    const folder = folderWith({ 'nets/tiny.onnx': 'net' });
    symlinkSync('/etc/hostname', join(folder, 'model.yaml'));
    expect((await rejection(openPackage(folder, deps))).code).toBe('invalid-file');
  });

  it('names the field whose file is missing', async () => {
    const graph = await rejection(openPackage(folderWith({ 'model.yaml': YAML }), deps));
    expect(graph.code).toBe('not-found');
    expect(graph.place.field).toBe('pipeline.0.graph');
    const goldens = `${YAML}goldens: {file: g.json, output: y, metric: exact, threshold: 1}\n`;
    const error = await rejection(openPackage(folderWith({ 'model.yaml': goldens, 'nets/tiny.onnx': 'n' }), deps));
    expect(error.place.field).toBe('goldens.file');
  });

  it('reads no file that the package lacks', async () => {
    const pack = await openPackage(folderWith({ 'model.yaml': YAML, 'nets/tiny.onnx': 'net' }), deps);
    expect((await rejection(pack.read('../outside'))).code).toBe('not-found');
  });

  it.each([
    ['nothing there', 'missing', 'not-found'],
    ['a folder without model.yaml', '', 'not-a-package'],
    ['another file', 'notes.txt', 'not-a-package'],
  ])('says so for %s', async (_, name, code) => {
    const folder = folderWith({ 'notes.txt': 'hello' });
    expect((await rejection(openPackage(join(folder, name), deps))).code).toBe(code);
  });

  it('ends when it is aborted', async () => {
    const folder = folderWith({ 'model.yaml': YAML, 'nets/tiny.onnx': 'net' });
    const reason = new Error('stopped');
    await expect(openPackage(folder, deps, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  describe('of a bare .onnx file', () => {
    it('derives what model.yaml would say', async () => {
      const pack = await openPackage(join(folderWith({ 'My Net.onnx': 'net' }), 'My Net.onnx'), deps);
      expect(pack.hasYaml).toBe(false);
      expect(pack.yaml).toMatchObject({ name: 'my-net', licence: 'unknown', batching: { maxRows: 8 } });
      expect(pack.yaml.inputs).toEqual([{ name: 'x', datatype: 'FP32', shape: [-1, 2] }]);
      expect(pack.files.map(({ path }) => path)).toEqual(['My Net.onnx']);
    });

    it('takes the name that it is given, and batches only where every first dimension is dynamic', async () => {
      const fixed: GraphSignature = { ...signature, outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 2] }] };
      const path = join(folderWith({ 'model.onnx': 'net' }), 'model.onnx');
      const pack = await openPackage(path, { inspect: () => Promise.resolve(fixed) }, { name: 'given' });
      expect(pack.yaml).toMatchObject({ name: 'given', batching: { maxRows: 1 } });
    });

    it('takes its external weights along, from its own folder only', async () => {
      const path = join(folderWith({ 'net.onnx': 'net', 'w/net.bin': 'weights', 'other.txt': 'x' }), 'net.onnx');
      const withData = (externalData: string[]): OpenPackageDeps => ({
        inspect: () => Promise.resolve({ ...signature, externalData }),
      });
      const pack = await openPackage(path, withData(['w/net.bin', 'w/net.bin']));
      expect(pack.files.map(({ path }) => path)).toEqual(['net.onnx', 'w/net.bin']);
      expect((await rejection(openPackage(path, withData(['../x'])))).code).toBe('invalid-file');
      expect((await rejection(openPackage(path, withData(['gone'])))).code).toBe('not-found');
    });

    it('passes on why the file can not be read', async () => {
      const path = join(folderWith({ 'net.onnx': 'net' }), 'net.onnx');
      const failing: OpenPackageDeps = { inspect: () => Promise.reject(new Error('no ONNX')) };
      await expect(openPackage(path, failing)).rejects.toThrow('no ONNX');
    });
  });
});

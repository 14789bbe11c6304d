import { PackageRefused } from '@tidegate/cloud-hub/registry/package-ports.js';
import { listAudit } from '@tidegate/cloud-hub/security/audit.js';
import { manifestDigest } from '@tidegate/shared/wire/manifest.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openPublishing, yamlText, type Publishing } from '../../support/publishing.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('publish');
let desk: Publishing;
beforeEach(async () => {
  desk = await openPublishing(folder());
});
afterEach(async () => {
  await desk.pipeline.close();
  await desk.db.destroy();
});

const tiny = (fields: Record<string, string> = {}, graph = 'graph') => ({
  'model.yaml': yamlText(fields),
  'm.onnx': graph,
});

describe('publishing', () => {
  test('numbers versions from 1, under the digest of their manifest', async () => {
    const first = await desk.publish('tiny', tiny());
    const second = await desk.publish('tiny', tiny({}, 'another'));
    expect([first.version, second.version]).toEqual([1, 2]);
    const files = Object.entries(tiny()).map(([path, text]) => ({
      path,
      sizeBytes: text.length,
      digest: sha256(text),
    }));
    expect(first.digest).toBe(manifestDigest({ kind: 'version', model: 'tiny', files }));
    expect(first).toMatchObject({ licence: 'MIT', sizeBytes: files[0]!.sizeBytes + files[1]!.sizeBytes });
  });

  test('equal content is the same version, and audited once', async () => {
    await desk.publish('tiny', tiny());
    await desk.settled('tiny', 1);
    expect(await desk.publish('tiny', tiny())).toMatchObject({ version: 1, state: 'ready' });
    const published = (await listAudit(desk.db, { limit: 50 })).filter((row) => row.action === 'model.publish');
    expect(published).toEqual([expect.objectContaining({ subject: 'tiny@1', actor: 'token:ci' })]);
  });

  test('completing an upload twice gives the same version', async () => {
    const files = Object.entries(tiny()).map(([path, text]) => ({
      path,
      sizeBytes: text.length,
      digest: sha256(text),
    }));
    for (const text of Object.values(tiny())) await desk.content.putBytes(Buffer.from(text));
    const { id } = await desk.uploads.create({ model: 'tiny', files, allowUnknownLicence: false }, 'token:ci');
    const first = await desk.registry.publish(id, 'token:ci');
    expect(await desk.registry.publish(id, 'token:ci')).toMatchObject({ version: first.version, digest: first.digest });
  });

  test('what belongs to a new version is written with it: once, and not at all without it', async () => {
    const files = Object.entries(tiny()).map(([path, text]) => ({
      path,
      sizeBytes: text.length,
      digest: sha256(text),
    }));
    for (const text of Object.values(tiny())) await desk.content.putBytes(Buffer.from(text));
    const upload = () => desk.uploads.create({ model: 'tiny', files, allowUnknownLicence: false }, 'token:ci');
    const failing = async (): Promise<void> => Promise.reject(new Error('no origin'));
    const first = await upload();
    await expect(desk.registry.publish(first.id, 'job:j1', failing)).rejects.toThrow('no origin');
    expect(await desk.registry.versions({ model: 'tiny', limit: 10 })).toEqual([]);
    const made: number[] = [];
    const note = async (_trx: unknown, { version }: { version: number }): Promise<void> => void made.push(version);
    for (const { id } of [first, first, await upload()]) await desk.registry.publish(id, 'job:j1', note);
    expect(made).toEqual([1]);
  });

  test('at once from many sides still gives one version', async () => {
    for (const text of Object.values(tiny())) await desk.content.putBytes(Buffer.from(text));
    const versions = await Promise.all(Array.from({ length: 8 }, () => desk.publish('tiny', tiny())));
    expect(new Set(versions.map((version) => version.version))).toEqual(new Set([1]));
  });
});

describe('a package that can’t be is refused by its field, and changes nothing', () => {
  const refused = async (files: Record<string, string>, expected: object, model = 'tiny'): Promise<void> => {
    await expect(desk.publish(model, files)).rejects.toMatchObject(expected);
    expect(await desk.registry.models({ limit: 10 })).toEqual([]);
    // A good one after the bad one.
    await desk.publish('tiny', tiny());
    expect(await desk.settled('tiny', 1)).toMatchObject({ state: 'ready' });
  };

  test('no model.yaml', () => refused({ 'm.onnx': 'graph' }, { code: 'invalid', field: 'model.yaml' }));
  test('broken YAML', () =>
    refused(
      { 'model.yaml': 'name: [', 'm.onnx': 'g' },
      { code: 'invalid', field: 'model.yaml', message: expect.stringContaining('line 1') },
    ));
  test('a field of the wrong type', () =>
    refused(tiny({ batching: '{ maxRows: many }' }), { code: 'invalid', field: 'model.yaml#batching.maxRows' }));
  test('an unknown field', () => refused(tiny({ colour: 'blue' }), { code: 'invalid', field: 'model.yaml#colour' }));
  test('no licence', () =>
    refused(
      { 'model.yaml': yamlText().replace(/licence.*\n/, ''), 'm.onnx': 'g' },
      { code: 'invalid', field: 'model.yaml#licence' },
    ));
  test('an unknown licence', () =>
    refused(tiny({ licence: 'unknown' }), { code: 'invalid', field: 'model.yaml#licence' }));
  test('another name than the upload’s', () => refused(tiny(), { code: 'invalid', field: 'model.yaml#name' }, 'other'));
  test('a label that would be taken for a number', () =>
    refused(tiny({ version: '"12"' }), { code: 'invalid', field: 'model.yaml#version' }));
  test('a graph that the package doesn’t hold', () =>
    refused({ 'model.yaml': yamlText() }, { code: 'invalid', field: 'model.yaml#pipeline.0.graph' }));
  test('goldens that the package doesn’t hold', () =>
    refused(tiny({ goldens: '{ file: g.json, output: y, metric: exact, threshold: 1 }' }), {
      code: 'invalid',
      field: 'model.yaml#goldens.file',
    }));
  test('a model.yaml that is too large', () =>
    refused({ 'model.yaml': `# ${'x'.repeat(300_000)}`, 'm.onnx': 'g' }, { code: 'too-large', field: 'model.yaml' }));

  test('an incomplete upload, naming the file', async () => {
    const file = { path: 'model.yaml', sizeBytes: 5, digest: sha256('12345') };
    const { id } = await desk.uploads.create({ model: 'tiny', files: [file], allowUnknownLicence: false }, 'token:ci');
    await expect(desk.registry.publish(id, 'token:ci')).rejects.toMatchObject({
      code: 'conflict',
      field: 'files/model.yaml',
    });
  });
});

test('an unknown licence is taken on the publisher’s word', async () => {
  const version = await desk.publish('tiny', tiny({ licence: 'unknown' }), { allowUnknownLicence: true });
  expect(version.licence).toBe('unknown');
});

describe('a label', () => {
  test('names one version; another content may not take it', async () => {
    await desk.publish('tiny', tiny({ version: 'v1' }));
    await expect(desk.publish('tiny', tiny({ version: 'v1' }, 'other'))).rejects.toMatchObject({
      code: 'conflict',
      field: 'model.yaml#version',
    });
    expect(await desk.registry.version('tiny', 'v1')).toMatchObject({ version: 1 });
  });

  test('of a refused version is free again', async () => {
    desk.doing.check = async () => Promise.reject(new PackageRefused('no'));
    await desk.publish('tiny', tiny({ version: 'v1' }));
    expect(await desk.settled('tiny', 1)).toMatchObject({ state: 'refused', detail: 'no' });
    desk.doing.check = async () => undefined;
    await desk.publish('tiny', tiny({ version: 'v1' }, 'mended'));
    expect(await desk.settled('tiny', 2)).toMatchObject({ state: 'ready', label: 'v1' });
    expect(await desk.registry.version('tiny', 'v1')).toMatchObject({ version: 2 });
  });
});

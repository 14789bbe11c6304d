// Freezing into a real content store: the same choice is the same bytes, nothing damaged gets in, and nothing half made stays.
import { writeFile } from 'node:fs/promises';
import { chooseItems, type ChosenItem } from '@tidegate/cloud-hub/data/dataset-choice.js';
import { freezeDataset } from '@tidegate/cloud-hub/data/dataset-freeze.js';
import { canonicalDataset, readManifest } from '@tidegate/cloud-hub/data/dataset-manifest.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import type { DatasetManifest } from '@tidegate/shared/wire/data-api.js';
import { sha256, type Digest } from '@tidegate/shared/wire/digest.js';
import { decodeSample, inputsDigest } from '@tidegate/shared/wire/sample.js';
import { beforeEach, describe, expect, test } from 'vitest';
import { digitSample } from '../../support/captured-samples.js';
import { failingFiles, type FailingFiles } from '../../support/failing-files.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('dataset-freeze');
const NEVER = new AbortController().signal;
/** Of three samples. */
const SHARD_BYTES = 3 * digitSample(1).byteLength + 100;
let files: FailingFiles;
let content: ContentStore;

beforeEach(async () => {
  files = failingFiles();
  content = await ContentStore.open({ folder: folder() }, files);
});

async function chosen(seeds: readonly number[], into = content): Promise<readonly ChosenItem[]> {
  const candidates = [];
  for (const seed of seeds) {
    const body = digitSample(seed);
    const inputs = inputsDigest(decodeSample(body).inputs);
    const id = await into.putBytes(body);
    candidates.push({ id, inputsDigest: inputs, label: String(seed), sizeBytes: body.byteLength, receivedAtMs: seed });
  }
  return chooseItems(candidates, 0.5).items;
}
const freeze = (items: readonly ChosenItem[], into = content, signal = NEVER) =>
  freezeDataset({ model: 'digits', heldOut: 0.5, items }, { content: into, shardBytes: SHARD_BYTES }, signal);
const manifestOf = (digest: Digest): Promise<DatasetManifest> =>
  readManifest(digest, { files, pathOf: (of) => content.path(of) });

describe('a frozen dataset', () => {
  test('is shards of whole bodies and a manifest that says where each lies', async () => {
    const items = await chosen([1, 2, 3, 4, 5, 6, 7]);
    const { digest, manifestBytes, sizeBytes } = await freeze(items);
    const manifest = await manifestOf(digest);
    expect((await content.read(digest)).byteLength).toBe(manifestBytes);
    expect(manifest.shards.length).toBe(3);
    expect(sizeBytes).toBe(manifest.shards.reduce((sum, shard) => sum + shard.sizeBytes, 0));
    expect(manifest.items.map(({ id, label, split }) => ({ id, label, split }))).toEqual(
      items.map(({ id, label, split }) => ({ id, label, split })),
    );
    for (const { id, shard, offsetBytes, sizeBytes: itemBytes } of manifest.items) {
      const bytes = await content.read(manifest.shards[shard]!.digest);
      expect(sha256(bytes.subarray(offsetBytes, offsetBytes + itemBytes))).toBe(id);
    }
  });

  test('is the same digest on every hub, and stays when its samples go: also of one sample', async () => {
    const other = await ContentStore.open({ folder: folder() }, files);
    const items = await chosen([5, 4, 9]);
    const { digest } = await freeze(items);
    expect((await freeze(await chosen([9, 5, 4], other), other)).digest).toBe(digest);
    const [only] = await chosen([9]);
    const single = await freeze([only!]);
    await content.remove(only!.id);
    const { shards } = await manifestOf(single.digest);
    expect(sha256(await content.read(shards[0]!.digest))).toBe(shards[0]!.digest);
  });

  test('is another one when a label, a side or the share is another', async () => {
    const items = await chosen([1, 2]);
    const { digest } = await freeze(items);
    const relabelled = items.map((item, at) => (at === 0 ? { ...item, label: 'x' } : item));
    const moved = items.map((item, at) => (at === 0 ? { ...item, split: item.split === 'train' ? 'held-out' : 'train' } as const : item)); // prettier-ignore
    const shared = await freezeDataset({ model: 'digits', heldOut: 0.4, items }, { content }, NEVER);
    const digests = [digest, (await freeze(relabelled)).digest, (await freeze(moved)).digest, shared.digest];
    expect(new Set(digests).size).toBe(4);
  });

  test('has one canonical manifest: keys and items in one order', () => {
    const item = { inputsDigest: sha256('i'), label: 'é', split: 'train', shard: 0, offsetBytes: 4, sizeBytes: 1 } as const; // prettier-ignore
    const items = [sha256('b'), sha256('a')].map((id) => ({ ...item, id }));
    const shards = [{ sizeBytes: 5, digest: sha256('s') }];
    const text = canonicalDataset({ shards, items, kind: 'dataset', heldOut: 0.2, model: 'm' });
    expect(canonicalDataset({ heldOut: 0.2, kind: 'dataset', model: 'm', items: items.toReversed(), shards })).toBe(
      text,
    );
    expect(text).toMatch(/^\{"heldOut":0\.2,"items":\[\{"id":"sha256:/);
  });
});

describe('nothing is left', () => {
  const before = async (): Promise<Digest[]> => (await content.list()).toSorted();

  test('of a dataset with a damaged or a missing body, which is named', async () => {
    const items = await chosen([1, 2, 3, 4, 5]);
    const last = items.at(-1)!.id;
    const whole = await content.read(last);
    await writeFile(
      content.path(last),
      whole.map((byte, at) => (at === 100 ? byte ^ 1 : byte)),
    );
    const held = await before();
    await expect(freeze(items)).rejects.toMatchObject({ code: 'invalid', message: expect.stringContaining(`${last} is damaged`) as string }); // prettier-ignore
    expect(await before()).toEqual(held);
    await content.remove(last);
    await expect(freeze(items)).rejects.toThrow(`${last} is not there any more`);
    expect(await before()).toEqual(held.filter((digest) => digest !== last));
  });

  test('of one that finds the disk full, and the next try succeeds', async () => {
    const items = await chosen([1, 2, 3, 4, 5]);
    const held = await before();
    files.failNext('content.commit', 'ENOSPC');
    await expect(freeze(items)).rejects.toMatchObject({ code: 'no-space' });
    expect(await before()).toEqual(held);
    expect((await freeze(items)).added.length).toBe(3);
  });

  test('of one that is stopped', async () => {
    const items = await chosen([1, 2, 3, 4, 5]);
    const held = await before();
    await expect(freeze(items, content, AbortSignal.abort(new Error('stopping')))).rejects.toThrow('stopping');
    expect(await before()).toEqual(held);
  });

  test('except what an earlier dataset shares with it', async () => {
    const items = await chosen([1, 2, 3, 4, 5]);
    const { digest } = await freeze(items.slice(0, 3)); // the first shard is the same
    const held = await before();
    await content.remove(items.at(-1)!.id);
    await expect(freeze(items)).rejects.toThrow('not there any more');
    expect(await before()).toEqual(held.filter((one) => one !== items.at(-1)!.id));
    expect((await manifestOf(digest)).items.length).toBe(3);
  });
});

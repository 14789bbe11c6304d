// Real files; failures of single operations are injected, and a crash is a second store on the same folder.
import { readdirSync, readFileSync, renameSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CaptureCounts } from '@tidegate/edge-agent/capture/capture-counts.js';
import { CaptureStore, RESERVE_BYTES, type WaitingSample } from '@tidegate/edge-agent/capture/capture-store.js';
import type { CaptureReason } from '@tidegate/edge-agent/capture/choose-rows.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { hexOf } from '@tidegate/shared/wire/digest.js';
import { sampleId } from '@tidegate/shared/wire/sample.js';
import { digitSample } from '../../support/captured-samples.js';
import { failingFiles } from '../../support/failing-files.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('capture-store');
/** Of one digit's file: 3.6 KB of picture, facts and answer, in whole blocks. */
const FILE_BYTES = 4096;

interface SetUp {
  readonly dataDir?: string;
  readonly limitBytes?: number;
}

async function open({ dataDir = folder(), limitBytes = 100 * FILE_BYTES }: SetUp = {}) {
  const files = failingFiles();
  const counts = new CaptureCounts();
  const store = await CaptureStore.open({ dataDir, limitBytes }, { files, counts, log: silentLog });
  const add = (seed: number, reason: CaptureReason = 'low-confidence', model = 'digits'): Promise<boolean> =>
    store.add(digitSample(seed, { reason, model }), { model, reason });
  return { dataDir, files, counts, store, add, again: () => open({ dataDir, limitBytes }) };
}

const idOf = (seed: number, reason: CaptureReason = 'low-confidence') => sampleId(digitSample(seed, { reason }));
const waiting = (store: CaptureStore): WaitingSample | undefined => store.next(new Set(['digits']));
const filesOf = (dataDir: string): string[] => readdirSync(join(dataDir, 'captures')).sort();
const pathOf = (dataDir: string, seed: number): string => join(dataDir, 'captures', hexOf(idOf(seed)));

describe('samples that wait', () => {
  it('lie sealed under the hex of their ids, for this user only', async () => {
    const { dataDir, store, add } = await open();
    expect(await add(1)).toBe(true);
    const path = pathOf(dataDir, 1);
    expect(filesOf(dataDir)).toEqual([hexOf(idOf(1))]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const plain = Buffer.from(digitSample(1));
    const sealed = readFileSync(path);
    expect(sealed.includes(plain.subarray(-64))).toBe(false);
    expect(sealed.includes(Buffer.from('digits'))).toBe(false);
    expect(Buffer.from((await store.read(idOf(1))) ?? []).equals(plain)).toBe(true);
    expect(store.storedBytes).toBe(FILE_BYTES);
  });

  it('are the same ones after a restart, in the same order', async () => {
    const first = await open();
    await first.add(5, 'random-share');
    await first.add(3);
    await first.add(1);
    await first.add(2);
    const { store } = await first.again();
    expect([store.count, store.storedBytes]).toEqual([4, 4 * FILE_BYTES]);
    const order: string[] = [];
    for (let next = waiting(store); next !== undefined; next = waiting(store)) {
      order.push(next.id);
      await store.remove(next.id);
    }
    // Low confidence first; within a reason by the time of capture (1000 ms + seed).
    expect(order).toEqual([idOf(1), idOf(2), idOf(3), idOf(5, 'random-share')]);
    expect(filesOf(first.dataDir)).toEqual([]);
  });

  it('are handed out of the models that may be sent, and deleted by model', async () => {
    const { store, add } = await open();
    await add(1);
    await add(2, 'low-confidence', 'faces');
    expect(store.models()).toEqual(['digits', 'faces']);
    expect(store.next(new Set(['faces']))?.model).toBe('faces');
    expect(store.next(new Set())).toBeUndefined();
    expect(await store.removeModel('digits')).toBe(1);
    expect(store.models()).toEqual(['faces']);
  });
});

describe('what is damaged', () => {
  it('is dropped and counted: flipped, cut, under another name, or sealed by another key', async () => {
    const { dataDir, store, add, counts, again } = await open();
    for (const seed of [1, 2, 3, 4]) await add(seed);
    const flipped = readFileSync(pathOf(dataDir, 1));
    flipped[100] = (flipped[100] ?? 0) ^ 1;
    writeFileSync(pathOf(dataDir, 1), flipped);
    truncateSync(pathOf(dataDir, 2), 10);
    renameSync(pathOf(dataDir, 3), pathOf(dataDir, 9)); // passes for another sample
    expect(await store.read(idOf(1))).toBeUndefined();
    expect(counts.totals.dropped).toEqual({ damaged: 1 });
    const after = await again();
    expect(after.counts.totals.dropped).toEqual({ damaged: 2 });
    expect(filesOf(dataDir)).toEqual([hexOf(idOf(4))]);
    writeFileSync(join(dataDir, 'captures.key'), Buffer.alloc(32, 7));
    const another = await after.again();
    expect([another.store.count, another.store.storedBytes]).toEqual([0, 0]);
    expect(another.counts.totals.dropped).toEqual({ damaged: 1 });
  });

  it('of a write that a power cut ended, is swept away at the next start', async () => {
    const { dataDir, add, again } = await open();
    await add(1);
    writeFileSync(`${pathOf(dataDir, 2)}.77.abc.tmp`, 'half');
    writeFileSync(join(dataDir, 'captures', 'notes.txt'), 'an operator’s');
    const { store } = await again();
    expect(store.count).toBe(1);
    expect(filesOf(dataDir)).toEqual([hexOf(idOf(1)), 'notes.txt'].sort());
  });

  it('leaves nothing behind where a write fails, at any of its points', async () => {
    const { dataDir, files, add, store, counts } = await open();
    for (const tag of ['capture.free', 'capture.write']) {
      files.failNext(tag, 'EIO');
      expect(await add(1)).toBe(false);
    }
    expect(filesOf(dataDir)).toEqual([]);
    expect([store.count, store.storedBytes, counts.totals.dropped.disk]).toEqual([0, 0, 2]);
    expect(await add(1)).toBe(true);
  });

  it('can not keep a sample from being forgotten: what could not be removed is found again later', async () => {
    const { files, store, add, again } = await open();
    await add(1);
    files.failNext('capture.remove', 'EROFS');
    await store.remove(idOf(1));
    expect(store.count).toBe(0);
    expect((await again()).store.count).toBe(1);
  });
});

describe('what can not be read now', () => {
  it('waits for the next start, and nothing else waits for it', async () => {
    const { dataDir, files, store, add, counts, again } = await open();
    await add(1);
    await add(2);
    files.failNext('capture.read', 'EIO');
    expect(await store.read(idOf(1))).toBeUndefined();
    expect(waiting(store)?.id).toBe(idOf(2));
    expect([filesOf(dataDir).length, counts.totals.dropped]).toEqual([2, {}]);
    expect((await again()).store.count).toBe(2);
  });
});

describe('a store that is full', () => {
  it('drops the oldest of the random share first, then the oldest of low confidence', async () => {
    const { store, add, counts } = await open({ limitBytes: 3 * FILE_BYTES });
    await add(1);
    await add(2, 'random-share');
    await add(3, 'random-share');
    await add(4);
    expect(await store.read(idOf(2, 'random-share'))).toBeUndefined();
    await add(5);
    expect(await store.read(idOf(3, 'random-share'))).toBeUndefined();
    expect(counts.totals.dropped).toEqual({ limit: 2 });
    await add(6);
    expect(await store.read(idOf(1))).toBeUndefined();
    expect(waiting(store)?.id).toBe(idOf(4));
    expect(store.storedBytes).toBe(3 * FILE_BYTES);
  });

  it('takes no random share at the cost of low confidence, and nothing that is larger than itself', async () => {
    const { store, add } = await open({ limitBytes: 2 * FILE_BYTES });
    await add(1);
    await add(2);
    expect(await add(3, 'random-share')).toBe(false);
    expect(store.count).toBe(2);
    const tiny = await open({ limitBytes: 100 });
    expect(await tiny.add(1)).toBe(false);
  });

  it('keeps a limit that has become smaller', async () => {
    const { dataDir, add } = await open();
    for (let seed = 0; seed < 6; seed += 1) await add(seed, seed % 2 === 0 ? 'low-confidence' : 'random-share');
    const { store } = await open({ dataDir, limitBytes: 2 * FILE_BYTES });
    expect([store.count, waiting(store)?.id]).toEqual([2, idOf(2)]);
    expect(filesOf(dataDir)).toHaveLength(2);
  });

  it('leaves the last bytes of the disk to others, and goes on once there is space (B5)', async () => {
    const { dataDir, files, add, counts } = await open();
    files.pretendFreeBytes(RESERVE_BYTES + FILE_BYTES - 1);
    expect(await add(1)).toBe(false);
    files.pretendFreeBytes(undefined);
    files.failNext('capture.write', 'ENOSPC');
    expect(await add(1)).toBe(false);
    expect(counts.totals.dropped).toEqual({ disk: 2 });
    expect(filesOf(dataDir)).toEqual([]);
    expect(await add(1)).toBe(true);
  });
});

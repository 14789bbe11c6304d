import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { DiskRow } from '@tidegate/edge-agent/cache/disk-store.js';
import { openAnswerStore } from '@tidegate/edge-agent/state/answer-store.js';
import { failingFiles } from '../../support/failing-files.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('answer-store');
const row = (key: number, sizeBytes: number): DiskRow => ({
  key: Uint8Array.of(key),
  model: 'm',
  tags: [],
  storedMs: 1,
  digest: new Uint8Array(32),
  body: new Uint8Array(sizeBytes).fill(key),
});
const never = (): boolean => false;

describe('the store of answers', () => {
  it('evicts in turn what was not used, and passes what was', async () => {
    const { store } = await openAnswerStore(join(folder(), 'answers.db'), 400_000, failingFiles());
    const used = new Set([0, 3]);
    const wasUsed = (key: Uint8Array): boolean => used.delete(key[0] ?? -1);
    let evicted = 0;
    for (let i = 0; i < 40; i += 1) evicted += store.write([row(i, 12_000)], wasUsed, i);
    expect(evicted).toBe(40 - store.entries);
    expect([0, 1, 2, 3].map((key) => store.get(Uint8Array.of(key)) !== undefined)).toEqual([true, false, false, true]);
    expect(store.get(Uint8Array.of(39))?.body[0]).toBe(39);
    expect(store.clockMs).toBe(39);
    store.close();
  });

  it('writes all rows of a batch or none', async () => {
    const { store } = await openAnswerStore(join(folder(), 'answers.db'), 400_000, failingFiles());
    store.write([row(1, 10)], never, 1);
    const broken = { ...row(3, 10), storedMs: 1.5 };
    expect(() => store.write([row(2, 10), broken], never, 2)).toThrow();
    expect(store.entries).toBe(1);
    expect(store.get(Uint8Array.of(2))).toBeUndefined();
    store.close();
  });

  it('rejects where even a new file can not be made, and knows whose fault an error is', async () => {
    const files = failingFiles();
    files.failNext('cache.make', 'EACCES');
    await expect(openAnswerStore(join(folder(), 'answers.db'), 400_000, files)).rejects.toThrow('EACCES');
    const { store } = await openAnswerStore(join(folder(), 'answers.db'), 400_000, files);
    const withCode = (code: string): Error => Object.assign(new Error(code), { code });
    expect(['SQLITE_FULL', 'SQLITE_IOERR_WRITE'].map((code) => store.isBrokenBy(withCode(code)))).toEqual([
      false,
      false,
    ]);
    expect(['SQLITE_CORRUPT', 'SQLITE_NOTADB'].map((code) => store.isBrokenBy(withCode(code)))).toEqual([true, true]);
    store.close();
  });

  it('sets a file of another make aside, and removes what was set aside at the next start', async () => {
    const path = join(folder(), 'answers.db');
    writeFileSync(path, 'x'.repeat(10_000));
    const files = failingFiles();
    const first = await openAnswerStore(path, 400_000, files);
    expect(first.brokenBecause).toBeDefined();
    expect(await files.sizeBytes('', `${path}.corrupt`)).toBe(10_000);
    first.store.close();
    const second = await openAnswerStore(path, 400_000, files);
    expect(await files.sizeBytes('', `${path}.corrupt`)).toBeUndefined();
    second.store.close();
  });
});

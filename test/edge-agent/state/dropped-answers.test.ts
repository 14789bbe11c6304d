// Drops of the store of answers: at once for who asks, a little at a time on the disk, and whole whatever happens in between.
import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { DiskRow, DiskStore } from '@tidegate/edge-agent/cache/disk-store.js';
import { openAnswerStore } from '@tidegate/edge-agent/state/answer-store.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('dropped-answers');
const LIMIT_BYTES = 4_000_000;
const never = (): boolean => false;
const keyOf = (key: number): Uint8Array => Uint8Array.of(key >> 8, key & 255);
const row = (key: number, part: Partial<DiskRow> = {}): DiskRow => ({
  key: keyOf(key),
  model: 'm',
  tags: [],
  storedMs: 1,
  digest: new Uint8Array(32),
  body: Buffer.alloc(6000, 'secret'),
  ...part,
});
const openAt = async (path: string): Promise<DiskStore> =>
  (await openAnswerStore(path, LIMIT_BYTES, systemFiles)).store;
const newPath = (): string => join(folder(), 'answers.db');
const write = (store: DiskStore, ...rows: DiskRow[]): number => store.write(rows, never, 1);
const has = (store: DiskStore, key: number): boolean => store.get(keyOf(key)) !== undefined;
function purged(store: DiskStore): number {
  let steps = 1;
  while (store.purge()) steps += 1;
  return steps;
}
/** The files as another process would find them if this one died now. */
function afterKill(path: string): string {
  const copy = newPath();
  for (const suffix of ['', '-wal']) if (existsSync(path + suffix)) copyFileSync(path + suffix, copy + suffix);
  return copy;
}

describe('a drop', () => {
  it('gives nothing of it from then on, and overwrites a few rows a step', async () => {
    const path = newPath();
    const store = await openAt(path);
    for (let i = 0; i < 100; i += 1)
      write(store, row(i, { model: i < 90 ? 'm' : 'n', body: i < 90 ? row(i).body : Uint8Array.of(i) }));
    expect(store.drop({ model: 'm' })).toBe(90);
    expect(store.drop({ model: 'm' })).toBe(0);
    expect([store.entries, has(store, 0), has(store, 95)]).toEqual([10, false, true]);
    expect([...store.models()]).toEqual([['n', { entries: 10, sizeBytes: 10 }]]);
    expect(purged(store)).toBeGreaterThanOrEqual(6);
    for (const file of [path, `${path}-wal`])
      if (existsSync(file)) expect(readFileSync(file).includes('secretsecret')).toBe(false);
    expect([store.entries, has(store, 95)]).toEqual([10, true]);
    store.close();
  });

  it('does not take what is put after it, under the same key too', async () => {
    const store = await openAt(newPath());
    write(store, row(1), row(2));
    store.drop({});
    write(store, row(1));
    expect([store.entries, has(store, 1), has(store, 2)]).toEqual([1, true, false]);
    purged(store);
    expect([store.entries, has(store, 1), has(store, 2)]).toEqual([1, true, false]);
    write(store, row(2));
    expect(has(store, 2)).toBe(true);
    store.close();
  });

  it.each([0, 1, 3])('holds when the process dies after %i steps, and goes on where it was', async (steps) => {
    const path = newPath();
    const store = await openAt(path);
    for (let i = 0; i < 60; i += 1) write(store, row(i, { tags: [i % 2 === 0 ? 't' : 'tt'] }));
    expect(store.drop({ tag: 't' })).toBe(30);
    for (let i = 0; i < steps; i += 1) store.purge();
    write(store, row(200, { tags: ['t'] }));
    const other = await openAt(afterKill(path));
    store.close();
    expect([other.entries, has(other, 0), has(other, 1), has(other, 200)]).toEqual([31, false, true, true]);
    purged(other);
    expect([other.entries, has(other, 58), has(other, 59), has(other, 200)]).toEqual([31, false, true, true]);
    other.close();
  });

  it('makes room for what is written meanwhile, before anything that is given is evicted', async () => {
    const store = await openAt(newPath());
    for (let i = 0; i < 380; i += 1) write(store, row(i, { model: i < 280 ? 'gone' : 'stays' }));
    store.drop({ model: 'gone' });
    let evicted = 0;
    for (let i = 400; i < 600; i += 1) evicted += write(store, row(i));
    expect(evicted).toBe(0);
    expect([store.entries, has(store, 300), has(store, 599)]).toEqual([300, true, true]);
    store.close();
  });

  it('of more than 64 at once takes all: rather too much than too little', async () => {
    const store = await openAt(newPath());
    for (let i = 0; i < 70; i += 1) write(store, row(i, { tags: [`t${i}`], body: Uint8Array.of(1) }));
    for (let i = 0; i < 64; i += 1) expect(store.drop({ tag: `t${i}` })).toBe(1);
    expect(store.drop({ tag: 't64' })).toBe(6);
    purged(store);
    write(store, row(1));
    expect(store.entries).toBe(1);
    store.close();
  });
});

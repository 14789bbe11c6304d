// The disk layer over real SQLite files and a simulated clock.
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { CacheEntry } from '@tidegate/shared/cache/cache-layer.js';
import { DiskLayer } from '@tidegate/edge-agent/cache/disk-layer.js';
import { openAnswerStore } from '@tidegate/edge-agent/state/answer-store.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { cacheEntry } from '../../support/cache-entries.js';
import { ManualClock } from '../../support/manual-clock.js';
import { recordedLog } from '../../support/recorded-log.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const SLOW = { computeUs: 1e6 };
const folder = temporaryFolders('disk-cache');
const opened: DiskLayer[] = [];
const keyOf = (name: string | number): string =>
  Buffer.from(sha256(String(name)).slice(7), 'hex').toString('base64url');

interface SetUpOptions {
  readonly dataDir?: string;
  readonly clock?: ManualClock;
  readonly limitBytes?: number;
}

async function setUp({ dataDir = folder(), clock = new ManualClock(1e12), limitBytes = 4e6 }: SetUpOptions = {}) {
  const path = join(dataDir, 'answers.db');
  const log = recordedLog();
  const layer = new DiskLayer(
    { limitBytes },
    { open: (anew) => openAnswerStore(path, limitBytes, systemFiles, anew), clock, log },
  );
  await layer.open();
  opened.push(layer);
  const put = (name: string | number, part: Partial<CacheEntry> = SLOW, data = Uint8Array.of(1)): void =>
    layer.put(keyOf(name), cacheEntry(data, part));
  const valueOf = (name: string | number, maxAgeMs = Infinity): number | undefined =>
    layer.get(keyOf(name), maxAgeMs)?.answer.outputs[0]?.data[0];
  const flush = (): void => {
    for (let i = 0; i < 100; i += 1) clock.advance(i === 0 ? 1000 : 1);
  };
  return { layer, path, dataDir, limitBytes, clock, lines: log.lines, put, valueOf, flush };
}

type Opened = Awaited<ReturnType<typeof setUp>>;

async function restarted({ layer, dataDir, clock, limitBytes }: Opened): Promise<Opened> {
  await layer.close();
  return setUp({ dataDir, clock, limitBytes });
}

afterEach(async () => {
  for (const layer of opened.splice(0)) await layer.close();
});

describe('DiskLayer', () => {
  it('gives an answer back after a restart, with its true age and labels', async () => {
    const first = await setUp();
    first.put('a', { ...SLOW, labels: { model: 'm', tags: ['x', 'y'] } }, Uint8Array.of(7, 8));
    first.clock.advance(4000);
    const { layer, valueOf } = await restarted(first);
    expect(layer.get(keyOf('a'), 4000)).toMatchObject({ ageMs: 4000, labels: { model: 'm', tags: ['x', 'y'] } });
    expect([...(layer.get(keyOf('a'), 4000)?.answer.outputs[0]?.data ?? [])]).toEqual([7, 8]);
    expect(valueOf('a', 3999)).toBeUndefined();
    expect(valueOf('b')).toBeUndefined();
    expect(layer.counts).toMatchObject({ hits: 2, stale: 1, misses: 1, entries: 1, broken: 0 });
  });

  it('writes what was asked for twice or was slow, off the request path, and nothing else', async () => {
    const { layer, put, valueOf, flush } = await setUp();
    put('once', { computeUs: 20_000 });
    put('twice', { computeUs: 20_000 });
    put('twice', { computeUs: 20_000 });
    put('in-memory', { computeUs: 20_000 });
    layer.wanted(keyOf('in-memory'), { ...cacheEntry(Uint8Array.of(3)), ageMs: 5 });
    put('slow');
    expect(layer.counts).toMatchObject({ stores: 0, entries: 0 });
    expect(valueOf('slow')).toBe(1); // found while it waits, too
    flush();
    expect(layer.counts).toMatchObject({ stores: 3, entries: 3 });
    expect(['once', 'twice', 'in-memory', 'slow'].map((name) => valueOf(name))).toEqual([undefined, 1, 3, 1]);
    layer.wanted(keyOf('in-memory'), { ...cacheEntry(Uint8Array.of(3)), ageMs: 5 });
    flush();
    expect(layer.counts.stores).toBe(3); // no second write for another hit
  });

  it('replaces an answer by its renewal', async () => {
    const { layer, clock, put, valueOf, flush } = await setUp();
    put('a');
    flush();
    clock.advance(10_000);
    put('a', { computeUs: 10 }, Uint8Array.of(2));
    flush();
    expect(valueOf('a', 5000)).toBe(2);
    expect(layer.counts.entries).toBe(1);
  });

  it('stays within its bytes, file and log together, and keeps what is used', async () => {
    const limitBytes = 1_000_000;
    const { layer, dataDir, clock, valueOf, put, flush } = await setUp({ limitBytes });
    put('used', SLOW, new Uint8Array(5000).fill(9));
    const random = seededRandom(5);
    for (let i = 0; i < 2000; i += 1) {
      put(i, SLOW, new Uint8Array(Math.floor(random.next() * 20_000)));
      if (i % 40 === 0) valueOf('used');
      if (i % 20 !== 0) continue;
      flush();
      clock.advance(3_600_000); // so that the writes are allowed
      const onDisk = readdirSync(dataDir).map((name) => statSync(join(dataDir, name)).size);
      expect(onDisk.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(limitBytes);
    }
    expect(valueOf('used')).toBe(9);
    expect(layer.counts.evictions).toBeGreaterThan(500);
    expect(layer.counts.broken).toBe(0);
    const { entries } = layer.counts;
    expect(layer.models().get('m')?.entries).toBe(entries);
  });

  it('bounds its queue and what it writes', async () => {
    const { layer, put, flush } = await setUp({ limitBytes: 4e6 });
    for (let i = 0; i < 3000; i += 1) put(i);
    expect(layer.counts.dropped).toBe(3000 - 1024);
    flush();
    for (let i = 0; i < 100; i += 1) put(`large ${i}`, SLOW, new Uint8Array(100_000));
    flush();
    expect(layer.counts.sizeBytes).toBeLessThan(3e6); // half of the limit at once, and no more for now
  });

  it('drops by model and by tag, from the queue and from the file, and leaves no byte of it', async () => {
    const first = await setUp();
    const { layer, path, clock, put, valueOf, flush } = first;
    const secret = Buffer.from('a secret that nobody may find afterwards');
    put('a', { ...SLOW, labels: { model: 'gone', tags: [] } }, Buffer.concat([secret, Buffer.alloc(9000), secret]));
    put('b', { ...SLOW, labels: { model: 'stays', tags: ['t1', 't'] } });
    flush();
    put('c', { ...SLOW, labels: { model: 'gone', tags: [] } });
    expect(layer.drop({ model: 'gone' })).toBe(2);
    expect(['a', 'b', 'c'].map((name) => valueOf(name))).toEqual([undefined, 1, undefined]);
    expect(layer.counts.entries).toBe(1);
    expect([...layer.models().keys()]).toEqual(['stays']);
    for (let i = 0; i < 10; i += 1) clock.advance(20); // overwritten a little at a time
    for (const file of [path, `${path}-wal`]) {
      if (existsSync(file)) expect(readFileSync(file).includes(secret)).toBe(false);
    }
    expect(layer.drop({ tag: 't2' })).toBe(0);
    const later = await restarted(first);
    expect(later.layer.drop({ tag: 't' })).toBe(1);
    expect(later.layer.counts.entries).toBe(0);
  });

  it('is of no use to who else opens it meanwhile, and does not stop them', async () => {
    const { dataDir, put, flush } = await setUp();
    put('a');
    flush();
    const second = await setUp({ dataDir });
    second.put('b');
    second.flush();
    expect(second.valueOf('a')).toBeUndefined();
    expect(second.layer.counts).toMatchObject({ broken: 1, entries: 0 });
  });

  it('can be read by its owner only', async () => {
    const { dataDir, put, flush } = await setUp();
    put('a');
    flush();
    for (const name of readdirSync(dataDir)) expect(statSync(join(dataDir, name)).mode & 0o077).toBe(0);
  });

  describe('over clocks that jump', () => {
    it('drops everything where the clock stands behind what was written: nobody knows the age', async () => {
      const first = await setUp();
      first.put('a');
      await first.layer.close();
      first.clock.setWall(1e12 - 60_000);
      const { valueOf, layer } = await setUp({ dataDir: first.dataDir, clock: first.clock });
      expect(valueOf('a')).toBeUndefined();
      expect(layer.counts.entries).toBe(0);
    });

    it('counts the time that the device was off, also when the clock learns of it later', async () => {
      const first = await setUp();
      first.put('a');
      first.clock.advance(10);
      await first.layer.close();
      const { valueOf, clock, put } = await setUp({ dataDir: first.dataDir, clock: first.clock });
      put('b');
      expect(valueOf('a', 60_000)).toBe(1);
      clock.setWall(1e12 + 3_600_000);
      expect(valueOf('a', 60_000)).toBeUndefined();
      expect(valueOf('b', 60_000)).toBe(1); // of this run: the jump says nothing about it
      clock.setWall(0);
      expect(valueOf('a', 60_000)).toBe(1);
    });
  });

  describe('with a file that is broken', () => {
    it('sets it aside at the start and begins anew', async () => {
      const dataDir = folder();
      writeFileSync(join(dataDir, 'answers.db'), 'no database at all, but long enough to look like one. '.repeat(200));
      const { layer, put, valueOf, flush, path } = await setUp({ dataDir });
      put('a');
      flush();
      expect(valueOf('a')).toBe(1);
      expect(layer.counts.broken).toBe(0);
      expect(existsSync(`${path}.corrupt`)).toBe(true);
    });

    it('never answers wrongly, never throws and goes on, wherever bytes flip', async () => {
      const random = seededRandom(23);
      let missed = 0;
      for (let round = 0; round < 12; round += 1) {
        const first = await setUp({ limitBytes: 400_000 });
        for (let i = 0; i < 30; i += 1) first.put(i, SLOW, new Uint8Array(50 + i * 200).fill(i));
        await first.layer.close();
        const file = openSync(first.path, 'r+');
        const { size } = statSync(first.path);
        for (let flip = 0; flip < 20; flip += 1) {
          const bytes = Buffer.from([Math.floor(random.next() * 256)]);
          writeSync(file, bytes, 0, 1, Math.floor(random.next() * size));
        }
        closeSync(file);
        const second = await setUp({ dataDir: first.dataDir, clock: first.clock, limitBytes: 400_000 });
        for (let i = 0; i < 30; i += 1) {
          const found = second.layer.get(keyOf(i), Infinity)?.answer.outputs[0]?.data;
          if (found === undefined) missed += 1;
          else expect([...found].every((byte) => byte === i) && found.byteLength === 50 + i * 200).toBe(true);
        }
        for (let i = 0; i < 200; i += 1) await Promise.resolve();
        await expect.poll(() => (second.put('new'), second.flush(), second.valueOf('new'))).toBe(1);
      }
      expect(missed).toBeGreaterThan(5); // the flips did hit something
    });
  });

  it('never gives an answer of another key, whatever is asked in whatever order', async () => {
    const step = fc.record({
      does: fc.constantFrom('put', 'get', 'wanted', 'drop', 'flush', 'restart'),
      key: fc.nat(15),
      version: fc.integer({ min: 1, max: 200 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
        let now = await setUp({ limitBytes: 200_000 });
        const latest = new Map<number, number>();
        for (const { does, key, version } of steps) {
          const data = Uint8Array.of(key, version);
          if (does === 'put') now.put(key, SLOW, data);
          if (does === 'put' || does === 'wanted') latest.set(key, version);
          if (does === 'wanted') now.layer.wanted(keyOf(key), { ...cacheEntry(data), ageMs: 0 });
          if (does === 'drop') now.layer.drop({});
          if (does === 'drop') latest.clear();
          if (does === 'flush') now.flush();
          if (does === 'restart') now = await restarted(now);
          const found = now.layer.get(keyOf(key), Infinity)?.answer.outputs[0]?.data;
          if (found !== undefined) {
            expect(found[0]).toBe(key);
            expect(latest.has(key)).toBe(true);
          }
        }
        await now.layer.close();
      }),
      { numRuns: 8 },
    );
  });
});

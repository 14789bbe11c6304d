// The reader over real shards in a real store, with examples/digits: what it hands out, in which order, how far ahead, and what it says
// of what is damaged.
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import {
  openDatasetReader,
  type DatasetReader,
  type DatasetReaderOptions,
} from '@tidegate/cloud-hub/data/dataset-reader.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';
import { datasetManifestSchema } from '@tidegate/shared/wire/data-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { decodeSample, encodeSample, sampleId } from '@tidegate/shared/wire/sample.js';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { digitSample } from '../../support/captured-samples.js';
import { failingFiles, type FailingFiles } from '../../support/failing-files.js';
import { freezeBodies, type LabelledBody } from '../../support/frozen-dataset.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('dataset-reader');
const DIGITS = fileURLToPath(new URL('../../../examples/digits', import.meta.url));
const BODY_BYTES = digitSample(1).byteLength;
const ROW_BYTES = 784 * 4;
const NEVER = new AbortController().signal;
let pack: ModelPackage;
let content: ContentStore;
let files: FailingFiles;
let reader: DatasetReader | undefined;

beforeAll(async () => {
  pack = await openPackage(DIGITS, { inspect: inspectGraphFile });
});
beforeEach(async () => {
  content = await ContentStore.open({ folder: folder() }, systemFiles);
  files = failingFiles();
  reader = undefined;
});
afterEach(() => reader?.close());

const digits = (...seeds: number[]): LabelledBody[] =>
  seeds.map((seed) => ({ body: digitSample(seed), label: String(seed % 10) }));
const seeds = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const idOf = (seed: number): Digest => sampleId(digitSample(seed));

async function open(
  manifests: readonly Digest[],
  options: Partial<DatasetReaderOptions> = {},
  clock = systemClock,
): Promise<DatasetReader> {
  reader = await openDatasetReader({ manifests, loss: 'cross-entropy', ...options }, { pack, content, files, clock });
  return reader;
}

/** Shards of `perShard` samples. */
const frozen = (bodies: readonly LabelledBody[], perShard = 4, heldOut = 0): Promise<Digest> =>
  freezeBodies(content, bodies, { heldOut, shardBytes: perShard * BODY_BYTES + perShard });

describe('a batch', () => {
  test('holds what was asked for, in that order, over several shards: rows, classes and ids', async () => {
    const opened = await open([await frozen(digits(...seeds(10)))]);
    expect([opened.counts, opened.classes]).toEqual([{ train: 10, 'held-out': 0 }, 10]);
    const indexes = [7, 0, 7, 3, 9];
    const batch = await opened.batch('train', indexes, NEVER);
    expect(batch.count).toBe(5);
    expect(batch.ids).toEqual(indexes.map((index) => opened.idOf('train', index)));
    const seedOf = new Map(seeds(10).map((seed) => [idOf(seed), seed]));
    const [image] = batch.feeds;
    expect([batch.feeds.length, image?.name, image?.datatype, image?.shape]).toEqual([
      ...[1, 'image', 'FP32'],
      [5, 1, 28, 28],
    ]);
    const rows = batch.ids.map((id) => decodeSample(digitSample(seedOf.get(id)!)).inputs[0]!.data);
    expect(Buffer.compare(Buffer.concat(rows), image!.data)).toBe(0);
    const classes = batch.ids.map((id) => BigInt(seedOf.get(id)! % 10));
    expect(batch.labels).toMatchObject({ name: 'labels', datatype: 'INT64', shape: [5] });
    expect(Buffer.compare(bytesOf(BigInt64Array.from(classes)), batch.labels.data)).toBe(0);
  });

  test('of an index that there isn’t, or of none, is a bug that is said, and the next one is read', async () => {
    const opened = await open([await frozen(digits(1, 2))]);
    await expect(opened.batch('train', [0, 2], NEVER)).rejects.toThrow(RangeError);
    await expect(opened.batch('train', [], NEVER)).rejects.toThrow(RangeError);
    await expect(opened.batch('held-out', [0], NEVER)).rejects.toThrow('no item 0 of 0 in held-out');
    expect((await opened.batch('train', [1, 0], NEVER)).count).toBe(2);
  });

  test('of shapes that differ names the sample and both shapes', async () => {
    const wide = encodeSample({
      facts: { model: 'digits', capturedAtMs: 1, reason: 'import' },
      inputs: [tensor('image', 'FP32', [2, 1, 28, 28], new Uint8Array(2 * ROW_BYTES))],
      outputs: [],
    });
    const opened = await open([await frozen([...digits(1), { body: wide, label: '3' }])]);
    const [digit, other] = opened.idOf('train', 0) === idOf(1) ? [0, 1] : [1, 0];
    const both = "image is FP32 [2, 1, 28, 28], but the batch's first sample has FP32 [1, 1, 28, 28]";
    await expect(opened.batch('train', [digit, other], NEVER)).rejects.toMatchObject({
      code: 'invalid',
      field: 'image',
      message: expect.stringContaining(`sample ${sampleId(wide)}: ${both}`) as string,
    });
    await expect(opened.batch('train', [other], NEVER)).rejects.toThrow('a row of a batch is [1, ...]');
  });

  test('of inputs that the package doesn’t take names the sample and the input', async () => {
    const foreign = encodeSample({
      facts: { model: 'digits', capturedAtMs: 1, reason: 'import' },
      inputs: [tensor('image', 'FP32', [1, 3, 28, 28], new Uint8Array(3 * ROW_BYTES))],
      outputs: [],
    });
    const opened = await open([await frozen([{ body: foreign, label: '3' }])]);
    await expect(opened.batch('train', [0], NEVER)).rejects.toMatchObject({
      code: 'invalid',
      field: 'image',
      message: expect.stringContaining(sampleId(foreign)) as string,
    });
  });
});

describe('batches', () => {
  test('come in the order asked for and read ahead, at most so many', async () => {
    const opened = await open([await frozen(digits(...seeds(12)))], { prefetchBatches: 3, cacheBytes: 0 });
    let asked = 0;
    const order = function* (): Generator<readonly number[]> {
      for (let at = 0; at < 12; at += 2) {
        asked += 1;
        yield [at, at + 1];
      }
    };
    const askedAt: number[] = [];
    const got: string[] = [];
    for await (const { ids } of opened.batches('train', order(), NEVER)) {
      askedAt.push(asked);
      got.push(...ids);
    }
    expect(got).toEqual(seeds(12).map((index) => opened.idOf('train', index)));
    expect(askedAt).toEqual([4, 5, 6, 6, 6, 6]); // the one at hand, and three ahead
  });

  test('read ahead no more than so many bytes, but always one', async () => {
    for (const [prefetchBytes, ahead] of [
      [1, 1],
      [2 * ROW_BYTES, 1],
      [2 * ROW_BYTES + 1, 2],
      [6 * ROW_BYTES, 3],
    ] as const) {
      const opened = await open([await frozen(digits(...seeds(12)))], { prefetchBatches: 5, prefetchBytes });
      let asked = 0;
      const order = function* (): Generator<readonly number[]> {
        for (let at = 0; at < 12; at += 2) yield (asked++, [at, at + 1]);
      };
      const askedAt: number[] = [];
      for await (const _ of opened.batches('train', order(), NEVER)) askedAt.push(asked);
      expect(askedAt).toEqual([1, 2, 3, 4, 5, 6].map((at) => Math.min(6, at + ahead)));
      await opened.close();
    }
  });

  test('end when the caller leaves: nothing more is asked for or read, and all files are closed', async () => {
    const opened = await open([await frozen(digits(...seeds(40)), 2)], { prefetchBatches: 4, cacheBytes: 0 });
    let left = false;
    const order = function* (): Generator<readonly number[]> {
      try {
        for (let at = 0; ; at = (at + 4) % 40) yield [at, at + 1, at + 2, at + 3];
      } finally {
        left = true;
      }
    };
    for await (const batch of opened.batches('train', order(), NEVER)) {
      expect(batch.count).toBe(4);
      break;
    }
    const reads = files.calls.length;
    await opened.close();
    expect([left, files.calls.length]).toEqual([true, reads]);
    expect(opened.stats().samples).toBeLessThanOrEqual(4 + 4 * 4);
  });

  test('end with the signal’s reason', async () => {
    const opened = await open([await frozen(digits(...seeds(8)))]);
    const stop = new AbortController();
    const seen: number[] = [];
    const reading = (async () => {
      for await (const { count } of opened.batches('train', [[0], [1], [2], [3]], stop.signal)) {
        seen.push(count);
        stop.abort(new Error('preempted'));
      }
    })();
    await expect(reading).rejects.toThrow('preempted');
    expect(seen.length).toBeLessThan(4);
  });

  test('an order that fails fails them', async () => {
    const opened = await open([await frozen(digits(1, 2))]);
    const order = function* (): Generator<readonly number[]> {
      yield [0];
      throw new Error('no order');
    };
    const reading = (async () => {
      for await (const _ of opened.batches('train', order(), NEVER)) continue;
    })();
    await expect(reading).rejects.toThrow('no order');
  });
});

describe('what is damaged', () => {
  const shardOf = async (manifest: Digest, at: number): Promise<Digest> => {
    const { shards } = datasetManifestSchema.parse(JSON.parse(Buffer.from(await content.read(manifest)).toString()));
    return shards[at]!.digest;
  };

  test.each([
    [
      'a changed byte',
      (data: Uint8Array) => data.map((byte, i) => (i === 900 ? byte ^ 1 : byte)),
      'not what its digest',
    ],
    ['a cut end', (data: Uint8Array) => data.subarray(0, data.byteLength - 1), 'bytes, not'],
  ])('%s of a shard is named before any of its samples is used; other shards are read', async (_, change, reason) => {
    const manifest = await frozen(digits(...seeds(8)));
    const damaged = await shardOf(manifest, 1);
    await writeFile(content.path(damaged), change(await content.read(damaged)));
    const opened = await open([manifest]);
    expect((await opened.batch('train', [0, 3], NEVER)).count).toBe(2);
    for (let again = 0; again < 2; again += 1) {
      await expect(opened.batch('train', [0, 4], NEVER)).rejects.toMatchObject({
        code: 'invalid',
        field: 'shards',
        message: expect.stringMatching(`${damaged}.*${reason}`) as string,
      });
    }
  });

  test('a missing shard, a missing and a changed manifest are named', async () => {
    const manifest = await frozen(digits(1, 2));
    const opened = await open([manifest]);
    const shard = await shardOf(manifest, 0);
    await content.remove(shard);
    await expect(opened.batch('train', [0], NEVER)).rejects.toThrow(`${shard} is not in the store`);
    await writeFile(content.path(manifest), (await content.read(manifest)).subarray(1));
    await expect(open([manifest])).rejects.toMatchObject({ code: 'invalid', field: 'dataset' });
    await content.remove(manifest);
    await expect(open([manifest])).rejects.toMatchObject({ code: 'not-found', field: 'dataset' });
    const other = await content.putBytes(Buffer.from('{"kind":"version"}'));
    await expect(open([other])).rejects.toThrow('is no dataset manifest');
  });

  test('a read that fails once fails that batch only', async () => {
    const opened = await open([await frozen(digits(...seeds(4)))]);
    files.failNext('shard.open', 'EMFILE');
    await expect(opened.batch('train', [0, 1, 2, 3], NEVER)).rejects.toThrow('EMFILE');
    files.failNext('shard.open.read', 'EIO');
    await expect(opened.batch('train', [0, 1, 2, 3], NEVER)).rejects.toThrow('EIO');
    expect((await opened.batch('train', [0, 1, 2, 3], NEVER)).count).toBe(4);
  });
});

describe('the held-out side', () => {
  test('has what any of the datasets, or of those that only hold out, holds out: by inputs, whoever captured them', async () => {
    const again = (seed: number): Uint8Array => digitSample(seed, { capturedAtMs: 77_000 + seed });
    const a = await frozen(digits(...seeds(6)));
    const b = await frozen([{ body: again(2), label: '5', split: 'held-out' }, ...digits(8)]);
    const c = await frozen([{ body: again(3), label: '3', split: 'held-out' }]);
    const opened = await open([a, b], { holdingOut: [c] });
    const ids = (split: 'train' | 'held-out'): Digest[] =>
      Array.from({ length: opened.counts[split] }, (_, index) => opened.idOf(split, index));
    expect(new Set(ids('train'))).toEqual(new Set([0, 1, 4, 5, 8].map(idOf)));
    expect(new Set(ids('held-out'))).toEqual(new Set([idOf(2), sampleId(again(2)), idOf(3)])); // c itself isn't read
  });

  test('a sample of several datasets is one, with the last one’s label', async () => {
    const a = await frozen(digits(1, 2));
    const b = await frozen([{ body: digitSample(2), label: '9' }]);
    const opened = await open([a, b]);
    expect(opened.counts.train).toBe(2);
    const index = [0, 1].find((at) => opened.idOf('train', at) === idOf(2))!;
    const { labels } = await opened.batch('train', [index], NEVER);
    expect(new BigInt64Array(labels.data.slice().buffer)[0]).toBe(9n);
  });
});

describe('labels', () => {
  test('that are none of the model’s are said when the reader opens, with the sample', async () => {
    for (const [label, reason] of [
      ['10', 'past the model'],
      ['seven', 'no class'],
    ] as const) {
      const manifest = await frozen([...digits(1), { body: digitSample(2), label }]);
      await expect(open([manifest])).rejects.toMatchObject({
        code: 'invalid',
        field: 'label',
        message: expect.stringMatching(`${idOf(2)}.*${reason}`) as string,
      });
    }
  });

  test('of a regression are rows of numbers, all of one width', async () => {
    const bodies = digits(1, 2).map((one, i) => ({ ...one, label: i === 0 ? '0.5, -2' : '1e3,4' }));
    const opened = await open([await frozen(bodies)], { loss: 'mse' });
    const indexes = [idOf(1), idOf(2)].map((id) => [0, 1].find((at) => opened.idOf('train', at) === id)!);
    const { labels } = await opened.batch('train', indexes, NEVER);
    expect([labels.datatype, labels.shape, opened.classes]).toEqual(['FP32', [2, 2], undefined]);
    expect([...new Float32Array(labels.data.slice().buffer)]).toEqual([0.5, -2, 1000, 4]);
    const uneven = await frozen([...bodies, { body: digitSample(3), label: '1' }]);
    await expect(open([uneven], { loss: 'mse' })).rejects.toMatchObject({ code: 'invalid', field: 'label' });
    const words = await frozen([{ body: digitSample(3), label: 'much' }]);
    await expect(open([words], { loss: 'mse' })).rejects.toThrow("'much' is no number");
  });
});

describe('what reading costs', () => {
  test('is measured: throughput while it reads, and the share of time that the trainer waited', async () => {
    const clock = new ManualClock();
    const manifest = await frozen(digits(...seeds(8)));
    reader = await openDatasetReader(
      { manifests: [manifest], loss: 'cross-entropy', cacheBytes: 3 * ROW_BYTES },
      { pack, content, files: slowFiles(clock, 10), clock },
    );
    await reader.batch('train', [0, 1], NEVER);
    clock.advance(60); // the trainer computes
    await reader.batch('train', [2, 3], NEVER);
    const stats = reader.stats();
    expect(stats).toMatchObject({ samples: 4, bytes: 4 * ROW_BYTES, cachedBytes: 3 * ROW_BYTES, cacheHitShare: 0 });
    // 4 reads of 10 ms, and 10 ms for the shard's check.
    expect(stats.samplesPerSecond).toBeCloseTo(4 / 0.05, 5);
    expect(stats.megabytesPerSecond).toBeCloseTo((4 * ROW_BYTES) / 1e6 / 0.05, 5);
    expect([stats.waitMs, stats.waitShare]).toEqual([50, 50 / 110]);
    await reader.batch('train', [0, 1], NEVER);
    expect(reader.stats().cacheHitShare).toBeCloseTo(2 / 6, 5);
  });

  test('a batch that was read ahead is not waited for', async () => {
    const clock = new ManualClock();
    const manifest = await frozen(digits(...seeds(8)));
    const modules = { pack, content, files: slowFiles(clock, 10), clock };
    reader = await openDatasetReader({ manifests: [manifest], loss: 'cross-entropy' }, modules);
    const order = [0, 2, 4, 6].map((at) => [at, at + 1]);
    let waitedMs = 0;
    for await (const _ of reader.batches('train', order, NEVER)) {
      waitedMs ||= reader.stats().waitMs; // for the first one
      while (reader.stats().samples < 8) await new Promise((resolve) => setImmediate(resolve)); // the trainer computes
    }
    expect(reader.stats()).toMatchObject({ samples: 8, waitMs: waitedMs });
  });

  test('rows that fit stay in memory: a second epoch reads no file', async () => {
    const opened = await open([await frozen(digits(...seeds(8)))]);
    const first = await opened.batch('train', seeds(8), NEVER);
    const calls = files.calls.length;
    const second = await opened.batch('train', seeds(8), NEVER);
    expect(files.calls.length).toBe(calls);
    expect(Buffer.compare(first.feeds[0]!.data, second.feeds[0]!.data)).toBe(0);
  });
});

/** Files whose reads of shards take `ms` each by the clock. */
function slowFiles(clock: ManualClock, ms: number): FailingFiles {
  return {
    ...files,
    stream: (tag, path, start, end) => {
      clock.advance(ms);
      return files.stream(tag, path, start, end);
    },
    open: async (tag, path) => {
      const file = await files.open(tag, path);
      return {
        ...file,
        read: async (offset, size) => {
          clock.advance(ms);
          return file.read(offset, size);
        },
      };
    },
  };
}

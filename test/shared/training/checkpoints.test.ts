import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';
import { batchesPerEpoch, batchOrder } from '@tidegate/shared/training/batch-order.js';
import { Checkpoints } from '@tidegate/shared/training/checkpoints.js';
import { decodeSafetensors, encodeSafetensors, SafetensorsError } from '@tidegate/shared/training/safetensors.js';

const values = (n: number) => [
  tensor('weight', 'FP32', [2, 2], bytesOf(Float32Array.of(n, 2, 3, 4))),
  tensor('count', 'INT64', [], bytesOf(BigInt64Array.of(7n))),
];

describe('checkpoints', () => {
  let folder: string;
  beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), 'tidegate-checkpoints-'))));
  afterEach(() => rm(folder, { recursive: true, force: true }));
  const of = (jobDigest: string) => new Checkpoints({ folder, jobDigest }, { files: systemFiles, log: silentLog });

  it('keeps the two newest, and gives the newest back', async () => {
    const mine = of('a');
    for (const doneSteps of [9, 10, 100]) await mine.save({ doneSteps, tensors: values(doneSteps) });
    expect((await readdir(folder)).sort()).toEqual(['step-10.safetensors', 'step-100.safetensors']);
    const newest = await mine.newest();
    expect(newest?.doneSteps).toBe(100);
    expect(newest?.tensors.map((t) => ({ ...t, data: [...t.data] }))).toEqual(
      values(100).map((t) => ({ ...t, data: [...t.data] })),
    );
  });

  it('passes over a torn one and takes the one before; takes none of another job', async () => {
    const mine = of('a');
    await mine.save({ doneSteps: 5, tensors: values(5) });
    await mine.save({ doneSteps: 6, tensors: values(6) });
    await truncate(join(folder, 'step-6.safetensors'), 100);
    expect((await mine.newest())?.doneSteps).toBe(5);
    expect(await of('b').newest()).toBeUndefined();
    await writeFile(join(folder, 'step-7.safetensors'), 'nothing of the kind');
    expect((await mine.newest())?.doneSteps).toBe(5);
  });
});

describe('safetensors', () => {
  it('never reads what is cut off or made up', () => {
    const bytes = encodeSafetensors(values(1), { a: 'b' });
    expect(decodeSafetensors(bytes).metadata).toEqual({ a: 'b' });
    for (let length = 0; length < bytes.byteLength; length += 1) {
      expect(() => decodeSafetensors(bytes.subarray(0, length))).toThrow(SafetensorsError);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (garbage) => {
        expect(() => decodeSafetensors(garbage)).toThrow(SafetensorsError);
      }),
    );
  });
});

describe('the order of batches', () => {
  const plan = { count: 103, batchSize: 10, seed: 4 };

  it('shows every sample once in each epoch, and each epoch in another order', () => {
    const perEpoch = batchesPerEpoch(plan);
    const epoch = (n: number): number[] => [...batchOrder(plan, n * perEpoch, (n + 1) * perEpoch)].flat();
    expect(epoch(0).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 103 }, (_, i) => i));
    expect(epoch(1)).not.toEqual(epoch(0));
    expect(epoch(1)).toEqual(epoch(1));
  });

  it('goes on anywhere as if it had begun at the beginning', () => {
    const all = [...batchOrder(plan, 0, 40)];
    for (const first of [1, 10, 11, 12, 25]) expect([...batchOrder(plan, first, 40)]).toEqual(all.slice(first));
  });
});

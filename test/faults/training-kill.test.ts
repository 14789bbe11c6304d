// A training job killed with SIGKILL again and again, at moments that a seed chooses (while it prepares, trains, writes a checkpoint,
// evaluates): each start goes on from what the last one saved, makes only the remaining updates, and the result is the same to the bit.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { CHECKPOINTS_FOLDER } from '@tidegate/cloud-hub/training/job-process/job-order.js';
import { delay, systemClock } from '@tidegate/shared/system/clock.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { temporaryFolders } from '../support/temporary-folder.js';
import {
  drawnDigits,
  JobProcess,
  openContent,
  readResult,
  storeDataset,
  writeOrder,
} from '../support/training-jobs.js';

const never = new AbortController().signal;
const KILLS = 12;
const STEPS = 240;
const folder = temporaryFolders('training-kill');
const contentFolder = folder();
let drawn: Digest;
beforeAll(async () => {
  drawn = await storeDataset(await openContent(contentFolder), drawnDigits(300));
});

async function order(threads: number, checkpointEveryMs: number): Promise<string> {
  const place = folder();
  const parameters = { fromScratch: true, epochs: 30, learningRate: 0.003, clipNorm: 0.5, accumulate: 1 };
  await writeOrder(place, { contentFolder, datasets: { 'drawn@1': drawn }, parameters, threads, checkpointEveryMs });
  return place;
}

function savedStep(place: string): number {
  const at = join(place, CHECKPOINTS_FOLDER);
  const names = existsSync(at) ? readdirSync(at) : [];
  return Math.max(0, ...names.map((name) => Number(/^step-(\d+)\.safetensors$/.exec(name)?.[1] ?? 0)));
}

const CASES = [
  { threads: 1, checkpointEveryMs: 0, seed: 1 },
  { threads: 2, checkpointEveryMs: 20, seed: 2 },
];

describe.each(CASES)('a job with $threads threads, a checkpoint each $checkpointEveryMs ms', ({ seed, ...job }) => {
  it(`is the same to the bit after ${KILLS} kills`, async () => {
    const straight = await order(job.threads, job.checkpointEveryMs);
    const startMs = systemClock.monotonicMs();
    const whole = new JobProcess(straight);
    expect(await whole.ended, whole.stderr).toEqual({ code: 0, signal: null });
    const wholeMs = systemClock.monotonicMs() - startMs;
    const expected = await readResult(straight);
    const random = seededRandom(seed);
    const moments: string[] = [];
    let place = await order(job.threads, job.checkpointEveryMs);
    const finish = async (): Promise<void> => {
      const rest = new JobProcess(place);
      expect(await rest.ended, rest.stderr).toEqual({ code: 0, signal: null });
      const { graph, result } = await readResult(place);
      expect(Buffer.from(graph).equals(expected.graph)).toBe(true);
      expect(result).toEqual(expected.result);
    };
    for (let kill = 0; kill < KILLS; kill += 1) {
      const saved = savedStep(place);
      const process = new JobProcess(place);
      // Every second one soon after an update, so that some progress is made; the others at any moment.
      if (kill % 2 === 0) await process.reached(saved + 1 + Math.floor(40 * random.next()));
      await delay(systemClock, random.next() * (kill % 2 === 0 ? 10 : wholeMs), never);
      process.child.kill('SIGKILL');
      const { code } = await process.ended;
      moments.push(`${process.progress.at(-1)?.phase ?? 'starting'} ${process.pointSteps.at(-1) ?? saved}`);
      expect(process.pointSteps[0] ?? saved + 1).toBe(saved + 1);
      expect(savedStep(place)).toBeGreaterThanOrEqual(saved);
      if (code !== 0) continue;
      await finish(); // it was faster than the kill: another job takes the next one
      place = await order(job.threads, job.checkpointEveryMs);
    }
    console.log(`killed at: ${moments.join(', ')}`);
    await finish();
    expect(expected.result.steps).toBe(STEPS);
  });
});

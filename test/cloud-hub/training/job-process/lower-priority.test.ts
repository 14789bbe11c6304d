import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { lowerPriority } from '@tidegate/cloud-hub/training/job-process/lower-priority.js';
import { temporaryFolders } from '../../../support/temporary-folder.js';
import { drawnDigits, JobProcess, openContent, storeDataset, writeOrder } from '../../../support/training-jobs.js';

// The process gives way to whatever else runs, the other tests included.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const folder = temporaryFolders('lower-priority');

/** Of each thread (proc(5): the 19th field of stat). */
function niceOfThreads(pid: number): number[] {
  const tasks = `/proc/${pid}/task`;
  return readdirSync(tasks).map((task) => {
    const behindName =
      readFileSync(join(tasks, task, 'stat'), 'utf8')
        .split(') ')
        .at(-1) ?? '';
    return Number(behindName.split(' ')[16]);
  });
}

it.runIf(process.platform === 'linux')('holds for every thread of a job that trains', async () => {
  const contentFolder = folder();
  const drawn = await storeDataset(await openContent(contentFolder), drawnDigits(100));
  const place = folder();
  await writeOrder(place, { contentFolder, datasets: { 'drawn@1': drawn }, threads: 2, parameters: { epochs: 100 } });
  const job = new JobProcess(place);
  await job.reached(2);
  job.child.kill('SIGSTOP');
  const pid = job.child.pid ?? 0;
  const [nice, oom] = [niceOfThreads(pid), readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8')];
  job.child.kill('SIGKILL');
  await job.ended;
  expect(nice.length).toBeGreaterThan(5);
  expect(new Set(nice)).toEqual(new Set([10]));
  expect(Number(oom)).toBe(800);
  expect(lowerPriority).toBeTypeOf('function'); // never called here: a lowered priority is not got back
});

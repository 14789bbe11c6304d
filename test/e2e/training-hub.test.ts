// Training as an operator meets it: a hub's process, its command line, a dataset from files, and the hub's ends in the middle of a job. No
// process of a job outlives its hub, and no end of the hub costs more than what came after the last checkpoint.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodeNpy } from '@tidegate/shared/tensor/npy.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import { jobSchema, type Job } from '@tidegate/shared/wire/training-api.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runTidegate, startHubProcess, type HubProcess } from '../support/hub-process.js';
import { temporaryFolders } from '../support/temporary-folder.js';
import { trainableGraph, trainableYaml } from '../support/training-desk.js';

const TIDEGATE = fileURLToPath(new URL('../../cloud-hub/bin/tidegate.js', import.meta.url));
const folder = temporaryFolders('training-hub');
/** 150 to 200 updates of one sample each in every epoch: hours, where nobody ends it. */
const ENDLESS = ['--epochs', '10000', '--batch-size', '1', '--detach'];
const TRAIN = ['train', '--model', 'tiny', '--parent', '1', '--dataset', 'points@1'];
let dataDir: string;
let hub: HubProcess;

beforeAll(async () => {
  dataDir = join(folder(), 'hub');
  hub = await startHubProcess(dataDir);
  const pack = folder();
  writeFileSync(join(pack, 'model.yaml'), trainableYaml('tiny'));
  writeFileSync(join(pack, 'm.onnx'), trainableGraph());
  await runTidegate(hub, ['model', 'publish', pack]);
  await runTidegate(hub, ['dataset', 'import', writePoints(), '--model', 'tiny', '--name', 'points']);
});
afterAll(async () => {
  await hub.stop();
});

/** 200 points: class 1 where the first coordinate is the larger one. */
function writePoints(): string {
  const points = join(folder(), 'points');
  const random = seededRandom(5);
  for (const label of ['0', '1']) mkdirSync(join(points, label), { recursive: true });
  for (let at = 0; at < 200; at += 1) {
    const [x, y] = [random.next() * 2 - 1, random.next() * 2 - 1];
    const npy = encodeNpy({ datatype: 'FP32', shape: [2], data: bytesOf(Float32Array.of(x, y)) });
    writeFileSync(join(points, x > y ? '1' : '0', `${at}.npy`), npy!);
  }
  return points;
}

const show = async (id: string): Promise<Job> =>
  jobSchema.parse(JSON.parse(await runTidegate(hub, ['job', 'show', id, '--json'])));

async function begun(id: string): Promise<number> {
  await expect
    .poll(async () => (await show(id)).progress?.step ?? 0, { timeout: 60_000, interval: 200 })
    .toBeGreaterThan(0);
  return (await show(id)).progress!.step;
}

/** Resolves when `tidegate job follow` has said its first word; `ended` with all that it said. */
async function follow(id: string): Promise<{ readonly ended: Promise<string> }> {
  const child = spawn(process.execPath, [TIDEGATE, 'job', 'follow', id], {
    env: { ...process.env, TIDEGATE_HUB: hub.url, TIDEGATE_TOKEN: hub.token },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = once(child, 'close').then(() => said);
  await once(child.stderr, 'data');
  return { ended };
}

/** Processes that work in this hub's job folders. */
function jobProcesses(): string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^[0-9]+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(join(dataDir, 'jobs'));
    } catch {
      return false; // it ended while it was looked at
    }
  });
}

test('a model learns from files: evaluated, published, and traced back to the import', async () => {
  const out = await runTidegate(hub, [...TRAIN, '--epochs', '30', '--batch-size', '8', '--learning-rate', '0.05']);
  const accuracy = /points@1 +held-out +accuracy +\d+ +[\d.]+ +([\d.]+)/.exec(out)?.[1];
  expect(Number(accuracy)).toBeGreaterThan(0.9);
  expect(out).toMatch(/tiny@2 from tiny@1 in/);
  const lineage = await runTidegate(hub, ['model', 'lineage', 'tiny@2']);
  expect(lineage).toMatch(/^tiny@2 .*evaluation passed.*\n└─ job j.*adamw at 0\.05, 30 epochs/);
  expect(lineage).toMatch(
    /dataset points@1 {2}trained on {2}\d+ train {2}\d+ held-out.*\n +└─ 200 samples imported as /,
  );
});

test('one that came out worse exists, and no rollout takes it', async () => {
  const worse = ['--parent', '2', '--label', 'worse', '--from-scratch', '--max-steps', '1', '--seed', '1'];
  await expect(runTidegate(hub, [...TRAIN, ...worse])).rejects.toThrow(/may not roll out: accuracy on what points@1/);
  await expect(runTidegate(hub, ['rollout', 'start', 'tiny@worse', '--group', 'g'])).rejects.toThrow(
    /tiny@3 did not pass its evaluation: accuracy on what points@1 holds out fell/,
  );
});

test('a hub that is told to stop leaves no process; the job, and who follows it, go on with the next one', async () => {
  const id = (await runTidegate(hub, [...TRAIN, ...ENDLESS])).trim();
  const before = await begun(id);
  expect(jobProcesses()).toHaveLength(1);
  const followed = await follow(id);
  const startedMs = performance.now();
  expect(await hub.stop()).toBe(0);
  expect(performance.now() - startedMs).toBeLessThan(15_000);
  expect(jobProcesses()).toEqual([]);
  hub = await hub.again();
  await expect
    .poll(async () => (await show(id)).progress?.resumedFromStep ?? 0, { timeout: 60_000 })
    .toBeGreaterThanOrEqual(before);
  await runTidegate(hub, ['job', 'cancel', id]);
  expect(await followed.ended).toMatch(new RegExp(`job ${id} cancelled: cancelled by token:admin`));
});

test('a hub that is killed leaves none either, and the job goes on with the next one', async () => {
  const id = (await runTidegate(hub, [...TRAIN, ...ENDLESS])).trim();
  const before = await begun(id);
  await hub.kill();
  await expect.poll(jobProcesses, { timeout: 10_000 }).toEqual([]);
  hub = await hub.again();
  await expect
    .poll(async () => (await show(id)).progress?.resumedFromStep ?? 0, { timeout: 60_000 })
    .toBeGreaterThanOrEqual(before);
  const [pid] = jobProcesses();
  process.kill(Number(pid), 'SIGKILL');
  await expect.poll(() => jobProcesses().filter((other) => other !== pid).length, { timeout: 20_000 }).toBe(1);
  await runTidegate(hub, ['job', 'cancel', id]);
  await expect.poll(jobProcesses, { timeout: 20_000 }).toEqual([]);
});

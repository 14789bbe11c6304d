// Training as the hub composes it, with the process that really trains: the digits package, handwritten digits in shards, the real registry,
// optimizer and signer. What supervision does in every corner is job-service.test.ts'; here is that it holds for real weights.
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import type { Closing } from '@tidegate/cloud-hub/composition/closing.js';
import { openRegistry, type RegistryParts } from '@tidegate/cloud-hub/composition/open-registry.js';
import { openTraining, type TrainingParts } from '@tidegate/cloud-hub/composition/open-training.js';
import type { Parts } from '@tidegate/cloud-hub/composition/parts.js';
import { findOrigin } from '@tidegate/cloud-hub/training/lineage/lineage-rows.js';
import { hashFiles, listFiles } from '@tidegate/shared/package/list-files.js';
import type { Version } from '@tidegate/shared/wire/admin-api.js';
import { createJobSchema, type Job } from '@tidegate/shared/wire/training-api.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openHubParts } from '../../support/hub-parts.js';
import { temporaryFolders } from '../../support/temporary-folder.js';
import { addDatasetRow, isAlive } from '../../support/training-desk.js';
import { DIGITS_PACKAGE, drawnDigits, handwrittenDigits, storeDataset } from '../../support/training-jobs.js';

const folder = temporaryFolders('open-training');
const WITHIN_MS = 120_000;
/** 600 updates, from the parent's weights, too small to do harm; enough of them to be stopped in the middle. */
const GENTLE = { maxSteps: 600, epochs: 50, batchSize: 16, learningRate: 1e-5 };
let parts: Parts;
let closing: Closing;
let registry: RegistryParts;
let training: TrainingParts;

beforeAll(async () => {
  ({ parts, closing } = await openHubParts(folder()));
  registry = await openRegistry(parts, closing);
  await publishDigits();
  const every = (digits: ReturnType<typeof handwrittenDigits>, nth: number) => digits.filter((_, at) => at % nth === 0);
  const people = await storeDataset(parts.content, every(handwrittenDigits(), 10));
  const drawn = await storeDataset(parts.content, drawnDigits(100));
  await addDatasetRow(parts.db, 'people', 1, { model: 'digits', digest: people });
  await addDatasetRow(parts.db, 'drawn', 1, { model: 'digits', digest: drawn });
  await open();
}, WITHIN_MS);
afterAll(() => closing.run());

/** As at the hub's start; a checkpoint after each update. */
async function open(): Promise<void> {
  training = openTraining(parts, registry, closing, { checkpointEveryMs: 0 });
  await training.jobs.start();
}

/** With each twentieth of its goldens: measuring variants by all of them takes longer than training. */
async function publishDigits(): Promise<void> {
  const source = folder();
  await fs.cp(DIGITS_PACKAGE, source, { recursive: true });
  const goldens = JSON.parse(await fs.readFile(join(source, 'goldens.json'), 'utf8')) as unknown[];
  await fs.writeFile(join(source, 'goldens.json'), JSON.stringify(goldens.filter((_, at) => at % 20 === 0)));
  const files = await hashFiles(source, await listFiles(source));
  const upload = await registry.uploads.create({ model: 'digits', files, allowUnknownLicence: false }, 'token:t');
  for (const { path } of files) await parts.content.putBytes(await fs.readFile(join(source, path)));
  await registry.registry.publish(upload.id, 'token:t');
  await registry.pipeline.idle();
}

async function create(datasets: string[], parameters: object, label?: string): Promise<Job> {
  const asked = { model: 'digits', parent: '1', datasets, parameters, ...(label === undefined ? {} : { label }) };
  return (await training.jobs.create(createJobSchema.parse(asked), 'token:t')).job;
}

/** Resolves when the job's newest event is so. */
function becomes(id: string, what: (job: Job) => boolean): Promise<Job> {
  return new Promise((resolve, reject) => {
    const stop = parts.events.on((event) => {
      if (event.kind !== 'job' || event.job.id !== id) return;
      if (what(event.job)) stop();
      if (what(event.job)) resolve(event.job);
      else if (event.job.state === 'failed') reject(new Error(event.job.detail));
    });
  });
}
const ended = (job: Job): boolean => job.state === 'succeeded' || job.state === 'failed';
const atStep = (step: number) => (job: Job) => (job.progress?.step ?? 0) >= step;
const pidOf = async (id: string): Promise<number> =>
  Number(await fs.readFile(join(parts.paths.jobs, id, 'process.pid'), 'utf8'));

test(
  'a fine-tuned version is held against its parent and the package’s goldens, and optimized as its parent was',
  async () => {
    const { id } = await create(['people@1'], GENTLE, 'gentle');
    const job = await becomes(id, ended);
    expect(job).toMatchObject({
      state: 'succeeded',
      version: 2,
      progress: { step: 600, steps: 600, resumedFromStep: 0 },
    });
    const [set] = job.evaluation!.sets;
    expect(set).toMatchObject({ dataset: 'people@1', role: 'held-out', metric: 'accuracy' });
    expect(set!.parent).toBeGreaterThan(0.9);
    expect(set!.result).toBeGreaterThanOrEqual(set!.parent - 0.01);
    expect(job.evaluation!.passed).toBe(true);
    const version = await registry.registry.version('digits', 'gentle');
    expect(version).toMatchObject({ version: 2, state: 'ready', label: 'gentle' });
    expect(version!.variants.filter(({ outcome }) => outcome === 'chosen')).toHaveLength(1);
    const parent = await registry.registry.version('digits', '1');
    const measured = ({ variants }: Version): string[] => variants.map(({ variant }) => variant).sort();
    expect(measured(version!)).toEqual(measured(parent!));
    expect((await training.jobs.points(id, 100)).at(-1)).toMatchObject({ step: 600 });
    expect(await findOrigin(parts.db, 'digits', 2)).toMatchObject({ job: id, parent: 1 });
  },
  WITHIN_MS,
);

test(
  'killed, and its hub stopped, it goes on from its checkpoint each time, and what it makes is the same to the bit',
  async () => {
    const { id } = await create(['people@1'], GENTLE, 'gentle-again');
    await becomes(id, atStep(8));
    process.kill(await pidOf(id), 'SIGKILL');
    const again = await becomes(id, (job) => atStep(20)(job) && (job.progress?.resumedFromStep ?? 0) > 0);
    expect(again.progress!.resumedFromStep).toBeGreaterThanOrEqual(8);
    const pid = await pidOf(id);
    await training.jobs.close();
    expect(isAlive(pid)).toBe(false);
    expect(await training.jobs.get(id)).toMatchObject({ state: 'preempted' });
    const end = becomes(id, ended);
    await open();
    const job = await end;
    expect(job.state).toBe('succeeded');
    expect(job.progress!.resumedFromStep).toBeGreaterThanOrEqual(20);
    const digestOf = async (spec: string): Promise<string | undefined> => {
      const version = await registry.registry.version('digits', spec);
      const [fp32] = (await registry.registry.variants('digits', version!.version)).filter((v) => v.variant === 'fp32');
      return fp32!.manifest.files.find(({ path }) => path === 'digits.onnx')?.digest;
    };
    expect(await digestOf('gentle-again')).toBe(await digestOf('gentle'));
  },
  WITHIN_MS,
);

test(
  'what forgot the package’s goldens is refused like any other, and the job says so',
  async () => {
    const { id } = await create(['drawn@1'], { fromScratch: true, epochs: 2 }, 'forgetful');
    const end = becomes(id, (job) => job.state === 'failed').catch((cause: unknown) => cause);
    await end;
    const job = (await training.jobs.get(id))!;
    expect(job).toMatchObject({
      state: 'failed',
      detail: expect.stringMatching(
        /^digits@\d was refused: the goldens fail on the unoptimised model: exact of label/,
      ),
    });
    expect(await registry.registry.version('digits', String(job.version))).toMatchObject({ state: 'refused' });
  },
  WITHIN_MS,
);

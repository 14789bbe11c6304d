// Training as the hub composes it, over a real database, registry, optimizer and signer, with a stub for the job's process: a model `tiny`
// whose graph can be trained is published, and datasets `hard@1`, `hard@2`, `slice@1` and `all-train@1` are there.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Closing } from '@tidegate/cloud-hub/composition/closing.js';
import { openRegistry, type RegistryParts } from '@tidegate/cloud-hub/composition/open-registry.js';
import { openTraining, type TrainingParts } from '@tidegate/cloud-hub/composition/open-training.js';
import type { Parts } from '@tidegate/cloud-hub/composition/parts.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import type { NodeProto } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import { createJobSchema, type CreateJob, type Job, type JobState } from '@tidegate/shared/wire/training-api.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import type { Version } from '@tidegate/shared/wire/admin-api.js';
import { openHubParts } from './hub-parts.js';

export const STUB_TRAINER = fileURLToPath(new URL('./stub-trainer.mjs', import.meta.url));
const WITHIN_MS = 20_000;

/** x [n, 2] -> logits [n, 2]; `extra` nodes stand between `h` and `g`. */
export function trainableGraph(extra: readonly NodeProto[] = [makeNode('Relu', ['h'], ['g'])]): Buffer {
  const weights = (name: string, dims: number[]) =>
    makeTensor(name, 1, dims, bytesOf(Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => i / 4)));
  const graph = makeGraph(
    [
      makeNode('Gemm', ['x', 'fc1.weight', 'fc1.bias'], ['h'], { name: 'fc1' }),
      ...extra,
      makeNode('Gemm', ['g', 'fc2.weight', 'fc2.bias'], ['logits'], { name: 'fc2' }),
    ],
    [makeValue('x', 1, ['n', 2])],
    [makeValue('logits', 1, ['n', 2])],
    [weights('fc1.weight', [2, 2]), weights('fc1.bias', [2]), weights('fc2.weight', [2, 2]), weights('fc2.bias', [2])],
  );
  return Buffer.concat(encodeModel(makeModel(graph)));
}

export function trainableYaml(name: string, lines: readonly string[] = []): string {
  return [
    `name: ${name}`,
    'licence: MIT # as its author says',
    'inputs: [{ name: x, datatype: FP32, shape: [-1, 2] }]',
    'outputs: [{ name: logits, datatype: FP32, shape: [-1, 2] }]',
    'pipeline: [{ graph: m.onnx }]',
    ...lines,
    '',
  ].join('\n');
}

export interface TrainingDesk {
  readonly parts: Parts;
  readonly registry: RegistryParts;
  /** Replaced by `restart`. */
  training: TrainingParts;
  readonly closing: Closing;
  publish(files: Readonly<Record<string, Uint8Array | string>>, model?: string): Promise<Version>;
  addDataset(name: string, version: number, counts?: Partial<DatasetCounts>): Promise<void>;
  create(seed: number, change?: Partial<CreateJob>, parameters?: Partial<CreateJob['parameters']>): Promise<Job>;
  /** Waits until the job is in one of these states. */
  reaches(id: string, ...states: JobState[]): Promise<Job>;
  /** Waits until this is so of a job. */
  becomes(id: string, what: (job: Job) => boolean): Promise<Job>;
  /** Another service on the same database and folders, as after a hub's restart. The one before is not closed here. */
  restart(): Promise<void>;
  folderOf(id: string): string;
}

interface DatasetCounts {
  readonly train: number;
  readonly heldOut: number;
  readonly model: string;
  readonly digest: string;
}

export async function openTrainingDesk(
  folder: string,
  flags: Readonly<Record<string, string>> = {},
): Promise<TrainingDesk> {
  const { parts, closing } = await openHubParts(folder, flags);
  const registry = await openRegistry(parts, closing);
  const desk: TrainingDesk = {
    parts,
    registry,
    closing,
    training: openTraining(parts, registry, closing, { entry: STUB_TRAINER }),
    publish: (files, model = 'tiny') => publish(parts, registry, model, files),
    addDataset: (name, version, counts = {}) => addDatasetRow(parts.db, name, version, counts),
    create: async (seed, change = {}, parameters = {}) => {
      const small = { maxSteps: 3, batchSize: 2, seed, ...parameters };
      const asked = { model: 'tiny', parent: '1', datasets: ['hard@1'], ...change, parameters: small };
      return (await desk.training.jobs.create(createJobSchema.parse(asked), 'token:t')).job;
    },
    reaches: (id, ...states) => desk.becomes(id, ({ state }) => states.includes(state)),
    becomes: (id, what) => becomes(desk, id, what),
    restart: async () => {
      desk.training = openTraining(parts, registry, closing, { entry: STUB_TRAINER });
      await desk.training.jobs.start();
    },
    folderOf: (id) => join(parts.paths.jobs, id),
  };
  await desk.publish({ 'model.yaml': trainableYaml('tiny', ["version: '1.0'"]), 'm.onnx': trainableGraph() });
  for (const [name, version] of [['hard', 1] as const, ['hard', 2] as const, ['slice', 1] as const])
    await desk.addDataset(name, version);
  await desk.addDataset('all-train', 1, { heldOut: 0 });
  await desk.training.jobs.start();
  return desk;
}

async function publish(
  parts: Parts,
  { registry, uploads, pipeline }: RegistryParts,
  model: string,
  files: Readonly<Record<string, Uint8Array | string>>,
): Promise<Version> {
  const entries = Object.entries(files).map(([path, data]) => ({
    path,
    sizeBytes: Buffer.byteLength(data),
    digest: sha256(data),
  }));
  const upload = await uploads.create({ model, files: entries, allowUnknownLicence: false }, 'token:t');
  for (const data of Object.values(files)) await parts.content.putBytes(Buffer.from(data as Uint8Array));
  const { version } = await registry.publish(upload.id, 'token:t');
  await pipeline.idle();
  const found = await registry.version(model, String(version));
  if (found?.state !== 'ready') throw new Error(`${model}@${version} is ${found?.state}: ${found?.detail}`);
  return found;
}

/** A frozen dataset's row alone: what it holds is not there unless its digest says otherwise. */
export async function addDatasetRow(
  db: Database,
  name: string,
  version: number,
  { train = 80, heldOut = 20, model = 'tiny', digest = sha256(`${name}@${version}`) }: Partial<DatasetCounts>,
): Promise<void> {
  await db
    .insertInto('dataset_versions')
    .values({
      name,
      version,
      digest,
      model,
      query: `model=${model}`,
      held_out: 0.2,
      manifest_bytes: 1,
      count: train + heldOut,
      train_count: train,
      held_out_count: heldOut,
      unlabelled: 0,
      labels: '{}',
      size_bytes: 1,
      created_at: '2026-01-01T00:00:00.000Z',
    })
    .execute();
}

function becomes({ parts, training }: TrainingDesk, id: string, what: (job: Job) => boolean): Promise<Job> {
  return new Promise((resolve, reject) => {
    let last: Job | undefined;
    const end = (then: () => void): void => {
      clearTimeout(timer);
      stopListening();
      then();
    };
    const look = (job: Job | undefined): void => {
      if (job === undefined) return;
      last = job;
      if (what(job)) end(() => resolve(job));
    };
    const timer = setTimeout(() => {
      end(() => reject(new Error(`job ${id} stays ${last?.state}: ${last?.detail}`)));
    }, WITHIN_MS);
    const stopListening = parts.events.on((event) => {
      if (event.kind === 'job' && event.job.id === id) look(event.job);
    });
    training.jobs.get(id).then(look, (cause: unknown) => end(() => reject(cause as Error)));
  });
}

/** Does a process of this id work? One that has ended and that nobody has asked for its end does not. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false; // gone
  }
}

// One training job from its folder to its result. May be killed at any moment: what it needs to go on is in the folder, each file whole or
// absent. result.json is written last, so where it is (and is of this job) there is nothing left to do.
import { join } from 'node:path';
import { chunksSizeBytes } from '@tidegate/shared/onnx/encode-message.js';
import { encodeModel, LIMIT_MODEL_BYTES } from '@tidegate/shared/onnx/model-codec.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import type { Engine, EngineSession } from '@tidegate/shared/runtime/engine.js';
import { RuntimeError } from '@tidegate/shared/runtime/runtime-error.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { withParameters } from '../step-graph/put-back.js';
import { evaluateSets } from './evaluate-sets.js';
import { jobDigest } from './job-digest.js';
import {
  CHECKPOINTS_FOLDER,
  jobOrderSchema,
  ORDER_FILE,
  RESULT_FILE,
  RESULT_GRAPH_FILE,
  type JobMessage,
  type JobOrder,
  type JobResult,
} from './job-order.js';
import { MemoryLimit } from './memory-limit.js';
import { openTraining, type OpenTraining } from './open-training.js';
import { OrderError } from './order-error.js';
import { readResult } from './read-result.js';
import { runTraining, type OrderedJob, type RunTrainingModules, type Trained } from './run-training.js';
import { waitForSpace } from './wait-for-space.js';

interface RunJobModules {
  readonly engine: Engine;
  readonly hubVersion: string;
  readonly files: Files;
  readonly clock: Clock;
  readonly log: Log;
  readonly rssBytes: () => number;
  readonly send: (message: JobMessage) => void;
}

/**
 * `preempted`: `stop` was heard, and whatever was done is in a checkpoint or is done again. Rejects with what explain-failure.ts explains.
 */
export async function runJob(folder: string, modules: RunJobModules, stop: AbortSignal): Promise<'done' | 'preempted'> {
  const { engine, files, log, clock } = modules;
  const order = await readOrder(folder, files);
  const pack = await openPackage(order.packageFolder, { inspect: inspectGraphFile });
  const builds = [modules.hubVersion, `${engine.name} ${engine.version}`];
  const digest = jobDigest({ order, versionDigest: pack.versionDigest, builds });
  if ((await readResult(folder, files))?.jobDigest === digest) {
    log.info({ job: order.job }, 'the result is there already');
    return 'done';
  }
  await removeLeftovers(folder, files);
  modules.send({ kind: 'progress', phase: 'preparing', progress: { step: 0, steps: 0, epoch: 0 } });
  const limits = { limitBytes: order.memoryLimitBytes, batchSize: order.parameters.batchSize };
  const memory = new MemoryLimit(limits, modules);
  const content = await ContentStore.open({ folder: order.contentFolder }, files);
  const training = await openTraining(order, { pack, content, files, clock });
  try {
    memory.check();
    const job: Job = { folder, order, digest, training, modules: { ...modules, memory } };
    const trained = await runTraining(job, training, job.modules, stop);
    if (trained.kind === 'stopped') return 'preempted';
    trained.progress.evaluating();
    await writeResult(job, trained, pack.pathOf(training.graph), stop);
    return 'done';
  } catch (cause) {
    if (stop.aborted && (cause === stop.reason || isCancelled(cause))) return 'preempted';
    throw cause;
  } finally {
    await training.close();
  }
}

interface Job extends OrderedJob {
  readonly training: OpenTraining;
  readonly modules: RunTrainingModules;
}

async function readOrder(folder: string, files: Files): Promise<JobOrder> {
  try {
    return jobOrderSchema.parse(
      JSON.parse(new TextDecoder().decode(await files.read('job.order', join(folder, ORDER_FILE)))),
    );
  } catch (cause) {
    throw new OrderError('bad-order', `${ORDER_FILE} is missing or is none: ${(cause as Error).message}`, { cause });
  }
}

/** What a process that was killed was writing. */
async function removeLeftovers(folder: string, files: Files): Promise<void> {
  for (const place of [folder, join(folder, CHECKPOINTS_FOLDER)]) {
    for (const name of await files.list('job.list', place)) {
      if (name.endsWith('.tmp')) await files.remove('job.leftover', join(place, name));
    }
  }
}

/** The trained graph, then how good it is. */
async function writeResult(job: Job, trained: Trained, parentPath: string, stop: AbortSignal): Promise<void> {
  const { folder, order, training, modules } = job;
  const { files, engine, memory, log } = modules;
  const chunks = encodeModel(withParameters(training.model, trained.parameters));
  if (chunksSizeBytes(chunks) > LIMIT_MODEL_BYTES) {
    throw new OrderError('too-large', 'the trained graph would pass the 2 GiB of one ONNX file', { field: 'graph' });
  }
  const path = join(folder, RESULT_GRAPH_FILE);
  const bytes = Buffer.concat(chunks);
  await waitForSpace('the trained graph', () => files.writeAtomic('job.result-graph', path, bytes), modules, stop);
  const load = (file: string): Promise<EngineSession> =>
    engine.load({ path: file, providers: ['cpu'], intraOpThreads: order.threads }, stop);
  const graphs = { parent: await load(parentPath), result: await load(path) };
  const { loss, batchSize } = order.parameters;
  const { output } = training;
  const onBatch = (): void => {
    memory.check();
    trained.progress.evaluating();
  };
  const sets = await evaluateSets(training.sets, graphs, { loss, output, batchSize }, onBatch, stop);
  const result: JobResult = { jobDigest: job.digest, graph: training.graph, steps: training.plan.steps, sets };
  const text = `${JSON.stringify(result)}\n`;
  const write = (): Promise<void> => files.writeAtomic('job.result', join(folder, RESULT_FILE), text);
  await waitForSpace('the result', write, modules, stop);
  log.info({ sets }, 'evaluated');
}

function isCancelled(cause: unknown): boolean {
  return cause instanceof RuntimeError && cause.code === 'cancelled';
}

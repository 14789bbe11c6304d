// The training itself: the step graph in the engine, from the newest checkpoint on, to its last update or to a checkpoint when told to
// stop. The last update is in a checkpoint too, so that a process killed while it evaluates doesn't train again.
import { join } from 'node:path';
import { isDiskFull } from '@tidegate/shared/content/content-error.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import type { Engine, EngineState } from '@tidegate/shared/runtime/engine.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { batchOrder } from '@tidegate/shared/training/batch-order.js';
import { Checkpoints } from '@tidegate/shared/training/checkpoints.js';
import { learningRateAt } from '@tidegate/shared/training/learning-rate.js';
import { train, type TrainingEnd } from '@tidegate/shared/training/train.js';
import { sha256, type Digest } from '@tidegate/shared/wire/digest.js';
import { CHECKPOINTS_FOLDER, type JobMessage, type JobOrder } from './job-order.js';
import { JobProgressTeller } from './job-progress.js';
import type { MemoryLimit } from './memory-limit.js';
import type { OpenTraining } from './open-training.js';
import { waitForSpace } from './wait-for-space.js';

const STEP_GRAPH_FILE = 'step.onnx';

export interface RunTrainingModules {
  readonly engine: Engine;
  readonly memory: MemoryLimit;
  readonly files: Files;
  readonly clock: Clock;
  readonly log: Log;
  readonly rssBytes: () => number;
  readonly send: (message: JobMessage) => void;
}

export interface OrderedJob {
  readonly folder: string;
  readonly order: JobOrder;
  /** job-digest.ts */
  readonly digest: Digest;
}

export interface Trained {
  readonly kind: TrainingEnd['kind'];
  /** By the initializers' names: what was trained, and running statistics. */
  readonly parameters: readonly NamedTensor[];
  readonly progress: JobProgressTeller;
}

/**
 * `signal` ends it between two updates, as `stopped`. Rejects with TrainingDiverged, OrderError `memory-limit`, DataError, RuntimeError or
 * what the file system says of a checkpoint other than that the disk is full.
 */
export async function runTraining(
  { folder, order, digest }: OrderedJob,
  { step, plan, reader }: OpenTraining,
  modules: RunTrainingModules,
  signal: AbortSignal,
): Promise<Trained> {
  const { engine, files, memory, clock, log } = modules;
  const { parameters, threads } = order;
  const path = join(folder, STEP_GRAPH_FILE);
  const stepGraph = Buffer.concat(encodeModel(step.model));
  // A build that differentiates or updates in another way makes another graph, and its checkpoints are others'.
  const checkpoints = new Checkpoints(
    { folder: join(folder, CHECKPOINTS_FOLDER), jobDigest: sha256(`${digest} ${sha256(stepGraph)}`) },
    { files, log },
  );
  await waitForSpace(STEP_GRAPH_FILE, () => files.writeAtomic('job.step-graph', path, stepGraph), modules, signal);
  const session = await engine.load({ path, providers: ['cpu'], intraOpThreads: threads }, signal);
  await files.remove('job.step-graph', path);
  const resumed = await checkpoints.newest();
  const doneSteps = resumed?.doneSteps ?? 0;
  const state = openState(session, resumed?.tensors ?? step.initial, step.carried);
  memory.check();
  log.info({ fromStep: doneSteps, steps: plan.steps, threads }, doneSteps === 0 ? 'training' : 'training goes on');
  const progress = new JobProgressTeller(plan, doneSteps, modules);
  const { count, batchSize, seed, accumulate } = { ...parameters, count: reader.counts.train };
  const batches = batchOrder({ count, batchSize, seed }, doneSteps * accumulate, plan.steps * accumulate);
  const reading = reader.batches('train', batches, new AbortController().signal);
  const checkpoint = async (done: number): Promise<void> => {
    const startMs = clock.monotonicMs();
    try {
      await checkpoints.save({ doneSteps: done, tensors: state.read() });
    } catch (cause) {
      // It only spares work after an end that need not come: training goes on, and the next one is tried in its turn.
      if (!isDiskFull(cause)) throw cause;
      log.warn({ err: cause, step: done }, 'the disk is full; training goes on without this checkpoint');
      return;
    }
    log.info({ step: done, ms: Math.round(clock.monotonicMs() - startMs) }, 'checkpoint');
  };
  try {
    const { kind } = await train(
      {
        names: step,
        doneSteps,
        steps: plan.steps,
        accumulate,
        learningRate: (number) => learningRateAt(parameters, number, plan.steps),
        checkpointEveryMs: order.checkpointEveryMs,
      },
      {
        state,
        batches: reading,
        clock,
        onStep: (report) => {
          progress.step(report);
          memory.check();
        },
        checkpoint,
      },
      signal,
    );
    log.info({ ...progress.summary(), resumedFromStep: doneSteps }, kind === 'done' ? 'trained' : 'stopped');
    if (kind === 'done' && doneSteps < plan.steps) await checkpoint(plan.steps);
    const values = state.read(step.parameters.map(({ input }) => input));
    return {
      kind,
      parameters: values.map((value, i) => ({ ...value, name: step.parameters[i]?.name ?? '' })),
      progress,
    };
  } finally {
    await reading.return();
    await state.close();
    await session.close();
  }
}

function openState(
  session: Awaited<ReturnType<Engine['load']>>,
  initial: readonly NamedTensor[],
  carried: ReadonlyMap<string, string>,
): EngineState {
  if (session.openState === undefined) throw new Error('the engine keeps no tensors between runs');
  return session.openState(initial, carried);
}

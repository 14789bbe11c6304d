// The loop that runs a step graph over batches. It holds no weights: they are in the engine's state. Where it stands is a number of
// updates, so a caller that knows it, and gives the batches from there, goes on as if nothing had happened.
import type { EngineState } from '../runtime/engine.js';
import type { Clock } from '../system/clock.js';
import { bytesOf, float32Of, tensor, type NamedTensor } from '../tensor/tensor.js';
import type { StepNames } from './step-names.js';

export interface TrainingBatch {
  readonly feeds: readonly NamedTensor[];
  readonly labels: NamedTensor;
  readonly count: number;
}

interface TrainingPlan {
  readonly names: StepNames;
  /** Updates that were made before. */
  readonly doneSteps: number;
  /** Updates in all. */
  readonly steps: number;
  /** Batches for one update. */
  readonly accumulate: number;
  /** Of update `step`, 1 = the first. */
  readonly learningRate: (step: number) => number;
  /** Least time between two checkpoints. */
  readonly checkpointEveryMs: number;
}

export interface StepReport {
  /** Updates made. */
  readonly step: number;
  /** Means over the update's batches. */
  readonly loss: number;
  /** Share of right answers; absent where the loss knows none. */
  readonly rightShare: number | undefined;
  readonly norm: number;
  readonly learningRate: number;
  readonly samples: number;
  readonly elapsedMs: number;
  /** Of that, waiting for data. */
  readonly waitMs: number;
}

interface TrainingModules {
  readonly state: EngineState;
  /** From the first batch of update `doneSteps` + 1 on. */
  readonly batches: AsyncIterator<TrainingBatch>;
  readonly clock: Clock;
  readonly onStep: (report: StepReport) => void;
  /** Saves the state, which stands still meanwhile. */
  readonly checkpoint: (doneSteps: number) => Promise<void>;
}

/** `stopped`: the signal ended it between two updates, and the last one is in a checkpoint. */
export type TrainingEnd = { readonly kind: 'done' | 'stopped'; readonly doneSteps: number };

/** Loss or gradients are no numbers any more: the rate is too large, or the data holds what is none. */
export class TrainingDiverged extends Error {
  override readonly name = 'TrainingDiverged';
  constructor(step: number) {
    super(`the loss or the gradients of update ${step} are no finite numbers: try a smaller learning rate`);
  }
}

/** Rejects with what the engine, the batches or the checkpoint reject with, and with TrainingDiverged. */
export async function train(plan: TrainingPlan, modules: TrainingModules, signal: AbortSignal): Promise<TrainingEnd> {
  const { clock, checkpoint, onStep } = modules;
  let savedMs = clock.monotonicMs();
  let saved = plan.doneSteps;
  for (let step = plan.doneSteps + 1; step <= plan.steps; step += 1) {
    if (signal.aborted) {
      if (saved !== step - 1) await checkpoint(step - 1);
      return { kind: 'stopped', doneSteps: step - 1 };
    }
    const report = await oneUpdate(plan, modules, step);
    if (!Number.isFinite(report.loss) || !Number.isFinite(report.norm)) throw new TrainingDiverged(step);
    onStep(report);
    if (clock.monotonicMs() - savedMs < plan.checkpointEveryMs || step === plan.steps) continue;
    await checkpoint(step);
    saved = step;
    savedMs = clock.monotonicMs();
  }
  return { kind: 'done', doneSteps: Math.max(plan.steps, plan.doneSteps) };
}

async function oneUpdate(plan: TrainingPlan, modules: TrainingModules, step: number): Promise<StepReport> {
  const { clock, batches, state } = modules;
  const { feeds, outputs } = plan.names;
  const rate = plan.learningRate(step);
  const startMs = clock.monotonicMs();
  const sum = { loss: 0, right: 0, samples: 0, waitMs: 0, norm: 0 };
  for (let part = 1; part <= plan.accumulate; part += 1) {
    const askedMs = clock.monotonicMs();
    const next = await batches.next();
    sum.waitMs += clock.monotonicMs() - askedMs;
    if (next.done === true) throw new Error('the batches ended before the updates');
    const batch = next.value;
    const fed = [
      ...batch.feeds.filter(({ name }) => feeds.inputs.includes(name)),
      { ...batch.labels, name: feeds.labels },
      tensor(feeds.learningRate, 'FP32', [], bytesOf(Float32Array.of(rate))),
      tensor(feeds.step, 'INT64', [], bytesOf(BigInt64Array.of(BigInt(step)))),
      ...(feeds.apply === undefined
        ? []
        : [tensor(feeds.apply, 'BOOL', [], Uint8Array.of(Number(part === plan.accumulate)))]),
    ];
    const wanted = [outputs.loss, outputs.norm, ...(outputs.right === undefined ? [] : [outputs.right])];
    const [loss, norm, right] = await state.run(fed, wanted, NEVER);
    sum.loss += scalar(loss) * batch.count;
    sum.norm = scalar(norm);
    sum.right += right === undefined ? 0 : Number(new BigInt64Array(new Uint8Array(right.data).buffer)[0] ?? 0n);
    sum.samples += batch.count;
  }
  return {
    step,
    loss: sum.loss / sum.samples,
    rightShare: outputs.right === undefined ? undefined : sum.right / sum.samples,
    norm: sum.norm,
    learningRate: rate,
    samples: sum.samples,
    elapsedMs: clock.monotonicMs() - startMs,
    waitMs: sum.waitMs,
  };
}

/** An update that has begun is finished: it takes milliseconds, and a checkpoint stands between two. */
const NEVER = new AbortController().signal;

function scalar(value: NamedTensor | undefined): number {
  return value === undefined ? Number.NaN : (float32Of(value)[0] ?? Number.NaN);
}

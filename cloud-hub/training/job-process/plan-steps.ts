// How many updates a job makes, and which of them its charts show. Pure: a job that goes on after its process has ended counts the same.
import { batchesPerEpoch } from '@tidegate/shared/training/batch-order.js';
import type { TrainingParameters } from '@tidegate/shared/wire/training-api.js';

/** Points that a job's charts are drawn from, at most. */
export const POINTS_MAX = 2000;

export interface StepPlan {
  /** Updates in all. */
  readonly steps: number;
  /** Batches of one epoch; the last one may be smaller. */
  readonly perEpoch: number;
  /** Epochs that are done after an update. */
  epochsAt(step: number): number;
  /**
   * Whether an update is a point of the charts. A point is what that one update measured, so that it is the same whether or not the
   * process was killed before it; sent again after a resume, it says the same.
   */
  isPoint(step: number): boolean;
}

type Counted = Pick<TrainingParameters, 'epochs' | 'maxSteps' | 'batchSize' | 'accumulate'>;

/** For `count` samples to train on, at least one. */
export function planSteps({ epochs, maxSteps, batchSize, accumulate }: Counted, count: number): StepPlan {
  const perEpoch = batchesPerEpoch({ count, batchSize });
  const steps = Math.min(Math.ceil((epochs * perEpoch) / accumulate), maxSteps ?? Number.POSITIVE_INFINITY);
  const stride = Math.ceil(steps / (POINTS_MAX - 2)); // the first and the last are points too
  return {
    steps,
    perEpoch,
    epochsAt: (step) => Math.min(epochs, (step * accumulate) / perEpoch),
    isPoint: (step) => step % stride === 0 || step === 1 || step === steps,
  };
}

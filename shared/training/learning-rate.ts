// The learning rate of each update: a linear warm-up to the full rate, then constant, linear to 0, or half a cosine to 0 (Loshchilov &
// Hutter, "SGDR", ICLR 2017, equation 5 without restarts). Pure.
import type { TrainingParameters } from '../wire/training-api.js';

type Schedule = Pick<TrainingParameters, 'learningRate' | 'schedule' | 'warmupSteps'>;

/** Of update `step` (1 = the first) of `steps`. */
export function learningRateAt({ learningRate, schedule, warmupSteps }: Schedule, step: number, steps: number): number {
  if (step <= warmupSteps) return (learningRate * step) / (warmupSteps + 1);
  if (schedule === 'constant') return learningRate;
  const done = Math.min(1, (step - 1 - warmupSteps) / Math.max(1, steps - warmupSteps));
  return schedule === 'linear' ? learningRate * (1 - done) : learningRate * 0.5 * (1 + Math.cos(Math.PI * done));
}

// What a run's charts draw: the points that the hub kept, then what live progress adds. A run that goes on from a checkpoint repeats
// steps; its points replace those that it repeats, so that no line turns back.
import type { JobPoint, JobProgress } from '@tidegate/shared/wire/training-api.js';

/** More are thinned to every second, so that a long run stays drawable. */
export const LIMIT_POINTS = 2000;

/** The progress as one more point; unchanged where it has no loss yet or says nothing new. */
export function withProgress(points: readonly JobPoint[], progress: JobProgress): readonly JobPoint[] {
  const { step, loss, metric, learningRate } = progress;
  if (loss === undefined || points.at(-1)?.step === step) return points;
  const point: JobPoint = { step, loss, learningRate: learningRate ?? points.at(-1)?.learningRate ?? 0 };
  const kept = points.filter((other) => other.step < step);
  return thinned([...kept, metric === undefined ? point : { ...point, metric }]);
}

/** The last point always stays. */
function thinned(points: readonly JobPoint[]): readonly JobPoint[] {
  return points.length <= LIMIT_POINTS ? points : points.filter((_, i) => (points.length - 1 - i) % 2 === 0);
}

/** Exponential mean over about a twentieth of the run, without the pull towards zero at its beginning; gaps stay gaps. */
export function smoothed(values: readonly (number | undefined)[]): (number | null)[] {
  const keep = 1 - 1 / Math.max(1, values.length / 20);
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    if (value === undefined) return null;
    sum = keep * sum + (1 - keep) * value;
    weight = keep * weight + (1 - keep);
    return sum / weight;
  });
}

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

/**
 * The mean of each point and its neighbours, over about a twentieth of the run, as many before as behind: so it runs through the
 * points and not after them. Gaps stay gaps.
 */
export function smoothed(values: readonly (number | undefined)[]): (number | null)[] {
  const reach = Math.ceil(values.length / 40);
  return values.map((value, at) => {
    if (value === undefined) return null;
    const side = Math.min(reach, at, values.length - 1 - at);
    const near = values.slice(at - side, at + side + 1).filter((one) => one !== undefined);
    return near.reduce((sum, one) => sum + one, 0) / near.length;
  });
}

import { describe, expect, it } from 'vitest';
import { LIMIT_POINTS, smoothed, withProgress } from '@tidegate/cloud-hub/console/training/chart-points.js';
import type { JobPoint } from '@tidegate/shared/wire/training-api.js';

const progress = (step: number, loss?: number) => ({
  step,
  steps: 100,
  epoch: 0,
  learningRate: 0.01,
  ...(loss === undefined ? {} : { loss }),
});
const point = (step: number, loss: number): JobPoint => ({ step, loss, learningRate: 0.01 });

describe("a run's points", () => {
  it('go on with its progress', () => {
    expect(withProgress([point(1, 2)], { ...progress(2, 1.5), metric: 0.5 })).toEqual([
      point(1, 2),
      { ...point(2, 1.5), metric: 0.5 },
    ]);
  });

  it('stay as they are where the progress says nothing new', () => {
    const points = [point(1, 2)];
    expect(withProgress(points, progress(1, 2))).toBe(points);
    expect(withProgress(points, progress(2))).toBe(points);
  });

  it('are replaced where a resumed run repeats steps', () => {
    const points = [point(10, 3), point(20, 2), point(30, 1)];
    expect(withProgress(points, progress(15, 2.5)).map(({ step }) => step)).toEqual([10, 15]);
  });

  it('are thinned, and the last one stays', () => {
    let points: readonly JobPoint[] = [];
    for (let step = 1; step <= 3 * LIMIT_POINTS; step += 1) points = withProgress(points, progress(step, step));
    expect(points.length).toBeLessThanOrEqual(LIMIT_POINTS);
    expect(points.at(-1)?.step).toBe(3 * LIMIT_POINTS);
    expect(points.every(({ step }, i) => i === 0 || step > points[i - 1]!.step)).toBe(true);
  });
});

describe('the running mean', () => {
  it('of equal values is that value from the first on', () => {
    for (const value of smoothed(Array.from({ length: 100 }, () => 4))) expect(value).toBeCloseTo(4, 12);
  });

  it('runs through the points and leaves gaps open', () => {
    const values = Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? 1 : 3));
    for (const value of smoothed(values).slice(5, -5)) expect(value).toSatisfy((v: number) => v > 1.8 && v < 2.2);
    const line = Array.from({ length: 100 }, (_, i) => 2 * i);
    for (const [i, value] of smoothed(line).entries()) expect(value).toBeCloseTo(2 * i, 9);
    expect(smoothed([1, undefined, 3])[1]).toBeNull();
    expect(smoothed([])).toEqual([]);
  });
});

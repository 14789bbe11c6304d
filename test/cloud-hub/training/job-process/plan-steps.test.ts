import { describe, expect, it } from 'vitest';
import { planSteps, POINTS_MAX } from '@tidegate/cloud-hub/training/job-process/plan-steps.js';

const parameters = { epochs: 3, batchSize: 32, accumulate: 1 };
const points = (plan: ReturnType<typeof planSteps>): number[] =>
  Array.from({ length: plan.steps }, (_, i) => i + 1).filter((step) => plan.isPoint(step));

describe('planning updates', () => {
  it('counts a smaller last batch, and makes one update of several batches', () => {
    expect(planSteps(parameters, 100).steps).toBe(12);
    expect(planSteps({ ...parameters, accumulate: 5 }, 100).steps).toBe(3);
    expect(planSteps({ ...parameters, accumulate: 100 }, 1).steps).toBe(1);
  });

  it('ends earlier where told, not later', () => {
    expect(planSteps({ ...parameters, maxSteps: 7 }, 100).steps).toBe(7);
    expect(planSteps({ ...parameters, maxSteps: 1000 }, 100).steps).toBe(12);
  });

  it('knows the epoch', () => {
    const plan = planSteps(parameters, 100);
    expect([0, 2, 4, 12].map((step) => plan.epochsAt(step))).toEqual([0, 0.5, 1, 3]);
    expect(planSteps({ ...parameters, accumulate: 5 }, 100).epochsAt(3)).toBe(3);
  });

  it('shows each update of a short job, and at most some thousand of a long one, with its first and its last', () => {
    expect(points(planSteps(parameters, 100))).toHaveLength(12);
    for (const count of [63_000, 64_000, 70_001, 1_000_000]) {
      const plan = planSteps(parameters, count);
      const shown = points(plan);
      expect(shown.length).toBeLessThanOrEqual(POINTS_MAX);
      expect(shown.length).toBeGreaterThan(POINTS_MAX / 2 - 2);
      expect([shown[0], shown.at(-1)]).toEqual([1, plan.steps]);
    }
  });
});

import { describe, expect, it } from 'vitest';
import type { JobMessage } from '@tidegate/cloud-hub/training/job-process/job-order.js';
import { JobProgressTeller } from '@tidegate/cloud-hub/training/job-process/job-progress.js';
import { planSteps } from '@tidegate/cloud-hub/training/job-process/plan-steps.js';
import type { StepReport } from '@tidegate/shared/training/train.js';
import { ManualClock } from '../../../support/manual-clock.js';

/** 1,000 updates of 10 samples, of which `fromStep` were made before. */
function teller(fromStep = 0) {
  const clock = new ManualClock();
  const sent: JobMessage[] = [];
  const plan = planSteps({ epochs: 1, batchSize: 10, accumulate: 1 }, 10_000);
  const progress = new JobProgressTeller(plan, fromStep, {
    clock,
    rssBytes: () => 5,
    send: (message) => sent.push(message),
  });
  const step = (number: number, fields: Partial<StepReport> = {}): void => {
    clock.advance(10);
    const report = { step: number, loss: 1, rightShare: 0.5, norm: 1, learningRate: 0.1, samples: 10 };
    progress.step({ ...report, elapsedMs: 10, waitMs: 2, ...fields });
  };
  const told = () => sent.flatMap((message) => (message.kind === 'progress' ? [message] : []));
  return { progress, step, sent, told };
}

describe('the progress of a job', () => {
  it('is told four times a second at most, and at the last update', () => {
    const { step, told } = teller();
    for (let number = 1; number <= 1000; number += 1) step(number);
    expect(told()).toHaveLength(1 + 1000 / 25);
    expect(told().at(-1)?.progress.step).toBe(1000);
  });

  it('gives means since the message before, and rates over all of this process', () => {
    const { step, told } = teller(500);
    expect(told()[0]).toMatchObject({
      phase: 'training',
      progress: { step: 500, steps: 1000, epoch: 0.5, resumedFromStep: 500 },
    });
    for (let number = 501; number <= 525; number += 1) step(number, { loss: 3, rightShare: 0 });
    for (let number = 526; number <= 550; number += 1) step(number, { loss: number % 2, rightShare: 1 });
    const last = told().at(-1)?.progress;
    expect(last).toMatchObject({ step: 550, metric: 1, learningRate: 0.1, rssBytes: 5, resumedFromStep: 500 });
    expect(last?.loss).toBeCloseTo(12 / 25);
    expect(last?.samplesPerSecond).toBeCloseTo(1000);
    expect(last?.waitShare).toBeCloseTo(0.2);
    expect(last?.secondsLeft).toBeCloseTo(4.5);
  });

  it('leaves the metric out where the loss knows no right answers', () => {
    const { step, sent } = teller();
    for (let number = 1; number <= 25; number += 1) step(number, { rightShare: undefined });
    expect(sent.some((message) => 'metric' in (message.kind === 'point' ? message.point : {}))).toBe(false);
    expect(sent.filter(({ kind }) => kind === 'point')).toHaveLength(25);
  });

  it('keeps the last figures while it evaluates', () => {
    const { progress, step, told } = teller(999);
    step(1000, { loss: 0.25 });
    progress.evaluating();
    expect(told().at(-1)).toMatchObject({ phase: 'evaluating', progress: { step: 1000, loss: 0.25, secondsLeft: 0 } });
    progress.evaluating(); // too soon to say again
    expect(told()).toHaveLength(3);
    expect(progress.summary()).toMatchObject({ ownSteps: 1, stepMs: 10, waitShare: 0.2 });
  });
});

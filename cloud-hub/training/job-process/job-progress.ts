// What the hub hears while a job runs: how far it is, at most four times a second, and the points of its charts. Loss and metric are means
// over the updates since the message before; throughput and wait are over this process's whole training, pauses for checkpoints included.
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { StepReport } from '@tidegate/shared/training/train.js';
import type { JobProgress } from '@tidegate/shared/wire/training-api.js';
import type { JobMessage } from './job-order.js';
import type { StepPlan } from './plan-steps.js';

const EVERY_MS = 250;

type Phase = Extract<JobMessage, { kind: 'progress' }>['phase'];

interface ProgressModules {
  readonly clock: Clock;
  readonly rssBytes: () => number;
  readonly send: (message: JobMessage) => void;
}

/** Sums over some updates. */
interface Window {
  samples: number;
  loss: number;
  right: number;
}

const empty = (): Window => ({ samples: 0, loss: 0, right: 0 });

export class JobProgressTeller {
  readonly #m: ProgressModules;
  readonly #plan: StepPlan;
  readonly #fromStep: number;
  readonly #startMs: number;
  #told: JobProgress;
  #toldMs = Number.NEGATIVE_INFINITY;
  #isEvaluating = false;
  #recent = empty();
  #all = { updates: 0, samples: 0, waitMs: 0 };

  /** `fromStep`: updates that were made before this process; training begins now. */
  constructor(plan: StepPlan, fromStep: number, modules: ProgressModules) {
    this.#m = modules;
    this.#plan = plan;
    this.#fromStep = fromStep;
    this.#startMs = modules.clock.monotonicMs();
    this.#told = {
      step: fromStep,
      steps: plan.steps,
      epoch: plan.epochsAt(fromStep),
      resumedFromStep: fromStep,
    };
    this.#tell('training');
  }

  step(report: StepReport): void {
    const { step, loss, rightShare, learningRate, samples, waitMs } = report;
    const metric = rightShare === undefined ? {} : { metric: rightShare };
    if (this.#plan.isPoint(step)) this.#m.send({ kind: 'point', point: { step, loss, ...metric, learningRate } });
    this.#recent.samples += samples;
    this.#recent.loss += loss * samples;
    this.#recent.right += (rightShare ?? 0) * samples;
    this.#all.updates += 1;
    this.#all.samples += samples;
    this.#all.waitMs += waitMs;
    if (this.#m.clock.monotonicMs() - this.#toldMs < EVERY_MS && step !== this.#plan.steps) return;
    const { samples: seen, loss: lossSum, right } = this.#recent;
    this.#recent = empty();
    this.#told = {
      ...this.#told,
      ...this.#rates(step),
      step,
      epoch: this.#plan.epochsAt(step),
      loss: lossSum / seen,
      ...(rightShare === undefined ? {} : { metric: right / seen }),
      learningRate,
    };
    this.#tell('training');
  }

  /** Training is over; the last figures of it stay. Called again while that lasts, it says that the process is alive. */
  evaluating(): void {
    const nowMs = this.#m.clock.monotonicMs();
    if (this.#isEvaluating && nowMs - this.#toldMs < EVERY_MS) return;
    this.#isEvaluating = true;
    this.#told = { ...this.#told, secondsLeft: 0 };
    this.#tell('evaluating');
  }

  /** The training of this process in figures, for the log. */
  summary(): {
    readonly ownSteps: number;
    readonly seconds: number;
    readonly stepMs: number;
    readonly waitShare: number;
  } {
    const elapsedMs = this.#m.clock.monotonicMs() - this.#startMs;
    const { updates, waitMs } = this.#all;
    return {
      ownSteps: updates,
      seconds: elapsedMs / 1000,
      stepMs: updates === 0 ? 0 : elapsedMs / updates,
      waitShare: elapsedMs === 0 ? 0 : waitMs / elapsedMs,
    };
  }

  #rates(step: number): Pick<JobProgress, 'samplesPerSecond' | 'waitShare' | 'secondsLeft'> {
    const elapsedMs = this.#m.clock.monotonicMs() - this.#startMs;
    if (elapsedMs <= 0) return {};
    return {
      samplesPerSecond: (this.#all.samples * 1000) / elapsedMs,
      waitShare: Math.min(1, this.#all.waitMs / elapsedMs),
      secondsLeft: ((this.#plan.steps - step) * elapsedMs) / (step - this.#fromStep) / 1000,
    };
  }

  #tell(phase: Phase): void {
    this.#toldMs = this.#m.clock.monotonicMs();
    this.#m.send({ kind: 'progress', phase, progress: { ...this.#told, rssBytes: this.#m.rssBytes() } });
  }
}

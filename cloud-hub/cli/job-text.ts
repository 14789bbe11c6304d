// A training job in words: one line while it runs, its facts and the table of its evaluation when it is looked at.
import type { Evaluation, Job, JobProgress } from '@tidegate/shared/wire/training-api.js';
import { tableText } from './output.js';

/**
 * `training  step 120/300  loss 0.213  right 93.1%  12 s left  rate 0.00087  1520 samples/s  2% waiting for data`: what a narrow
 * terminal cuts off comes last.
 */
export function progressLine({ state, detail, progress }: Job): string {
  if (state !== 'running') return detail === undefined ? state : `${state}: ${detail}`;
  if (progress === undefined || progress.steps === 0) return detail ?? 'running';
  return [detail ?? 'running', ...progressParts(progress)].join('  ');
}

function progressParts(progress: JobProgress): string[] {
  const { step, steps, loss, metric, learningRate, samplesPerSecond, secondsLeft, waitShare } = progress;
  return [
    `step ${step}/${steps}`,
    ...(loss === undefined ? [] : [`loss ${figure(loss)}`]),
    ...(metric === undefined ? [] : [`right ${(metric * 100).toFixed(1)}%`]),
    ...(secondsLeft === undefined ? [] : [`${timeText(secondsLeft)} left`]),
    ...(learningRate === undefined ? [] : [`rate ${figure(learningRate)}`]),
    ...(samplesPerSecond === undefined ? [] : [`${Math.round(samplesPerSecond)} samples/s`]),
    ...(waitShare === undefined ? [] : [`${Math.round(waitShare * 100)}% waiting for data`]),
  ];
}

export function jobText(job: Job): string {
  const { parameters, progress } = job;
  const limits = [
    `${job.threads} thread${job.threads === 1 ? '' : 's'}`,
    ...(job.memoryLimitBytes === undefined ? [] : [`at most ${Math.round(job.memoryLimitBytes / 2 ** 20)} MiB`]),
    `priority ${job.priority}`,
  ];
  const lines = [
    `${job.id}  ${job.model}@${job.parent} on ${job.datasets.map(({ spec }) => spec).join(', ')}  ${job.state}`,
    ...(job.detail === undefined ? [] : [job.detail]),
    [
      `${parameters.epochs} epoch${parameters.epochs === 1 ? '' : 's'} of batches of ${parameters.batchSize}`,
      `${parameters.optimizer} at ${parameters.learningRate} (${parameters.schedule})`,
      parameters.fromScratch ? 'from random weights' : `from version ${job.parent}'s weights`,
      `seed ${parameters.seed}`,
    ].join(', '),
    limits.join(', '),
    ...(progress === undefined || progress.steps === 0 ? [] : [progressParts(progress).join('  ')]),
    `created ${job.createdAt} by ${job.createdBy}${job.endedAt === undefined ? '' : `, ended ${job.endedAt}`}`,
  ];
  return `${lines.join('\n')}\n${job.evaluation === undefined ? '' : `\n${evaluationText(job.evaluation)}`}`;
}

/** What followed a job ends with: the evaluation, and what came of it. */
export function outcomeText(job: Job): string {
  const table = job.evaluation === undefined ? '' : `${evaluationText(job.evaluation)}\n`;
  if (job.state !== 'succeeded' || job.version === undefined) return table;
  const taken = job.startedAt === undefined ? '' : ` in ${timeText(secondsBetween(job.startedAt, job.endedAt))}`;
  return `${table}${job.model}@${job.version} from ${job.model}@${job.parent}${taken}\n`;
}

function evaluationText({ sets }: Evaluation): string {
  const head = ['SET', 'ROLE', 'METRIC', 'SAMPLES', 'PARENT', 'RESULT', 'CHANGE'];
  const rows = sets.map(({ dataset, role, metric, count, parent, result }) => {
    const change = result - parent;
    return [dataset, role, metric, count, figure(parent), figure(result), `${change >= 0 ? '+' : ''}${figure(change)}`];
  });
  return tableText(head, rows);
}

function timeText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

function secondsBetween(from: string, to: string | undefined): number {
  return to === undefined ? 0 : (Date.parse(to) - Date.parse(from)) / 1000;
}

function figure(value: number): string {
  return String(Number(value.toPrecision(4)));
}

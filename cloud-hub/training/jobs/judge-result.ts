// May what a job made roll out? Pure. The result is held against its parent on the held-out side of the training data and on each
// named slice: on none may it be worse by more than `maxDrop`, so that a gain on the whole never pays for a loss on a slice that
// somebody named. Accuracy may fall by so much absolutely, mean squared error may rise by that share of the parent's.
import type { Evaluation, setEvaluationSchema } from '@tidegate/shared/wire/training-api.js';
import type { z } from 'zod';

type SetEvaluation = z.infer<typeof setEvaluationSchema>;

/** Differences that are rounding of the division alone count as none. */
const ROUNDING = 1e-9;

/** `passed` only where something was measured. */
export function judgeResult(sets: readonly SetEvaluation[], maxDrop: number): Evaluation {
  const measured = sets.filter(({ count }) => count > 0);
  const failures = measured.flatMap((set) => failureOf(set, maxDrop) ?? []);
  const passed = measured.length > 0 && failures.length === 0;
  const reason =
    measured.length === 0
      ? 'nothing was measured: no sample was held out'
      : passed
        ? `not worse than its parent: ${measured.map(figures).join('; ')}`
        : failures.join('; ');
  return { sets: [...sets], passed, reason };
}

function failureOf(set: SetEvaluation, maxDrop: number): string | undefined {
  const { parent, result } = set;
  if (!Number.isFinite(parent) || !Number.isFinite(result)) return `${figures(set)}, which is no number to compare`;
  if (set.metric === 'accuracy') {
    if (parent - result <= maxDrop + ROUNDING) return undefined;
    return `${nameOf(set)} fell from ${round(parent)} to ${round(result)}, by ${round(parent - result)}; at most ${maxDrop} is allowed`;
  }
  if (result - parent <= maxDrop * parent + ROUNDING * Math.max(1, parent)) return undefined;
  const rise = parent === 0 ? '' : `, by ${round(((result - parent) / parent) * 100)}%`;
  return `${nameOf(set)} rose from ${round(parent)} to ${round(result)}${rise}; at most ${round(maxDrop * 100)}% is allowed`;
}

function figures(set: SetEvaluation): string {
  return `${nameOf(set)} ${round(set.parent)} -> ${round(set.result)}`;
}

function nameOf({ metric, dataset, role }: SetEvaluation): string {
  const measure = metric === 'accuracy' ? 'accuracy' : 'mean squared error';
  return role === 'slice' ? `${measure} on slice ${dataset}` : `${measure} on what ${dataset} holds out`;
}

const round = (value: number): string => String(Number(value.toPrecision(4)));

// Which variant a device class runs, from what was measured there. Pure. The rules:
//   1. A variant whose goldens fail the model's own threshold, or score more than the tolerance under fp32, is refused.
//   2. One that is surely slower than fp32 by more than the margin is refused. Surely: with the whole interval of its ratio.
//   3. Of those surely faster the fastest is chosen; among those within the margin of it, the smallest.
//   4. Where none is surely faster, the smallest that is really smaller is chosen.
//   5. Otherwise fp32 stays. Exactly one row is `chosen`; the others that passed are `kept`.
import type { ModelYaml } from '@tidegate/shared/wire/model-yaml.js';
import type { VariantReport } from '@tidegate/shared/wire/variant-report.js';
import type { TimeRatio } from './measure-variant.js';

type GoldenMetric = NonNullable<ModelYaml['goldens']>['metric'];

/** What a score may lose against fp32. */
export const SCORE_TOLERANCE = 0.01;
/** Differences below these count as equal: two runs of one and the same model differ by a few per cent on a busy machine. */
export const TIME_MARGIN = 0.1;
const SIZE_MARGIN = 0.05;

export interface Scored {
  readonly score: number;
  readonly passed: boolean;
}

export interface Candidate extends Scored {
  readonly variant: string;
  readonly sizeBytes: number;
  /** Its time over fp32's; undefined where its score ruled it out before. */
  readonly timeRatio: TimeRatio | undefined;
}

interface Fp32 extends Scored {
  readonly sizeBytes: number;
}

export interface Verdict {
  readonly outcome: VariantReport['outcome'];
  readonly reason: string;
}

interface Choice {
  readonly fp32: Verdict;
  /** One for each candidate, by variant. */
  readonly candidates: ReadonlyMap<string, Verdict>;
}

/** Why a score rules a variant out; undefined where it doesn't. */
export function accuracyLost(metric: GoldenMetric, fp32: Scored, candidate: Scored): string | undefined {
  const score = round(candidate.score);
  if (!candidate.passed) return `its goldens fail: ${metric} ${score}, fp32 ${round(fp32.score)}`;
  // A largest error has no tolerance of its own: the model's threshold is one, and `passed` was judged by it.
  if (metric === 'max-abs-error' || candidate.score >= fp32.score - SCORE_TOLERANCE) return undefined;
  return `accuracy ${score} under ${round(fp32.score)} - ${SCORE_TOLERANCE}`;
}

export function chooseVariant(metric: GoldenMetric, fp32: Fp32, candidates: readonly Candidate[]): Choice {
  const verdicts = new Map<string, Verdict>();
  const fit: Fit[] = [];
  for (const candidate of candidates) {
    const { variant, timeRatio } = candidate;
    const lost = accuracyLost(metric, fp32, candidate);
    if (lost !== undefined) verdicts.set(variant, { outcome: 'refused', reason: lost });
    else if (timeRatio === undefined) verdicts.set(variant, { outcome: 'refused', reason: 'it was not timed' });
    else if (!(timeRatio.low <= 1 + TIME_MARGIN)) {
      verdicts.set(variant, {
        outcome: 'refused',
        reason: `slower than fp32 (${times(timeRatio.median)} its engine time)`,
      });
    } else fit.push({ ...candidate, timeRatio });
  }
  const best = pick(fp32, fit);
  for (const candidate of fit) {
    const figures = `${times(candidate.timeRatio.median)} fp32's engine time, ${times(candidate.sizeBytes / fp32.sizeBytes)} its size`;
    if (candidate === best) verdicts.set(candidate.variant, { outcome: 'chosen', reason: `${why(best)}: ${figures}` });
    else
      verdicts.set(candidate.variant, { outcome: 'kept', reason: `${figures}; ${best?.variant ?? 'fp32'} was chosen` });
  }
  const stays: Verdict = { outcome: 'chosen', reason: 'no variant is as accurate and faster or smaller' };
  const replaced: Verdict = { outcome: 'kept', reason: 'the model as published, for devices that nobody measured' };
  return { fp32: best === undefined ? stays : replaced, candidates: verdicts };
}

type Fit = Candidate & { readonly timeRatio: TimeRatio };

function surelyFaster({ timeRatio }: Fit): boolean {
  return timeRatio.high <= 1 - TIME_MARGIN;
}

function pick(fp32: Fp32, fit: readonly Fit[]): Fit | undefined {
  const faster = fit.filter(surelyFaster);
  const fastest = Math.min(...faster.map(({ timeRatio }) => timeRatio.median));
  const equallyFast = faster.filter(({ timeRatio }) => timeRatio.median <= fastest * (1 + TIME_MARGIN));
  const smaller = fit.filter(({ sizeBytes }) => sizeBytes <= fp32.sizeBytes * (1 - SIZE_MARGIN));
  const [best] = (faster.length > 0 ? equallyFast : smaller).sort((a, b) => a.sizeBytes - b.sizeBytes);
  return best;
}

function why(best: Fit): string {
  return surelyFaster(best) ? 'fastest within tolerance' : 'as fast as fp32 and smaller';
}

function times(ratio: number): string {
  return `${ratio.toFixed(2)}x`;
}

function round(value: number): string {
  return String(Math.round(value * 10_000) / 10_000);
}

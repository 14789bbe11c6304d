// Measures one variant against fp32: first its goldens' score, then the time of both, golden by golden in turns, so that what
// disturbs the machine disturbs both. Single runs on a shared machine say nothing, and a median alone can mislead: the ratio
// comes with the interval that holds the true median 19 times in 20. A variant whose score rules it out isn't timed.
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { runGoldens, type GoldensResult } from '@tidegate/shared/package/run-goldens.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';

/** A package that is loaded as it is served, in executors; shared/serving's ServedModel is one. */
export interface LoadedVariant {
  runGoldens(signal: AbortSignal): Promise<GoldensResult>;
  infer(request: VariantRequest, signal: AbortSignal): Promise<VariantAnswer>;
}

export interface VariantRequest {
  readonly inputs: readonly NamedTensor[];
  readonly outputs: readonly string[];
  readonly deadlineMs: number;
  readonly priority: number;
}

export interface VariantAnswer {
  readonly outputs: readonly NamedTensor[];
  /** Time inside the engine. */
  readonly computeUs: number;
}

export interface Measurement {
  readonly score: number;
  readonly groupScores: Readonly<Record<string, number>>;
  /** Did the goldens pass model.yaml's own threshold? */
  readonly passed: boolean;
  /** From the request to the answer, steps included; empty where it wasn't timed. */
  readonly latenciesMs: readonly number[];
}

/** The variant's time inside the engine over fp32's: the median of the pairs, and where the true one lies (95%). */
export interface TimeRatio {
  readonly low: number;
  readonly median: number;
  readonly high: number;
}

export interface MeasuredPair {
  readonly variant: Measurement;
  readonly fp32LatenciesMs: readonly number[];
  /** Undefined where it wasn't timed. */
  readonly timeRatio: TimeRatio | undefined;
}

/** Pairs that shall be there at least, unless the time is up after the first round of goldens. */
const LEAST_PAIRS = 60;
const TIME_LIMIT_MS = 5_000;
const RUN_TIMEOUT_MS = 60_000;
const MOST_ROUNDS = 50;

/** Rejects with what a run rejects with. `worthTiming` decides on the score alone; `pack` holds the goldens. */
export async function measurePair(
  pack: ModelPackage,
  fp32: LoadedVariant,
  variant: LoadedVariant,
  worthTiming: (measured: Measurement) => boolean,
  clock: Clock,
  signal: AbortSignal,
): Promise<MeasuredPair> {
  const { score, groupScores, passed } = await variant.runGoldens(signal); // also the warm-up
  const untimed: Measurement = { score, groupScores, passed, latenciesMs: [] };
  if (!worthTiming(untimed)) return { variant: untimed, fp32LatenciesMs: [], timeRatio: undefined };
  const pairs = new Pairs(fp32, variant, clock);
  const startMs = clock.monotonicMs();
  for (let round = 0; round < MOST_ROUNDS && pairs.ratios.length < LEAST_PAIRS; round += 1) {
    if (round > 0 && clock.monotonicMs() - startMs > TIME_LIMIT_MS) break;
    await runGoldens(pack, (inputs, outputs, inner) => pairs.run(inputs, outputs, inner), { clock, signal });
  }
  return {
    variant: { ...untimed, latenciesMs: pairs.variantMs },
    fp32LatenciesMs: pairs.fp32Ms,
    timeRatio: timeRatioOf(pairs.ratios),
  };
}

class Pairs {
  readonly #fp32: LoadedVariant;
  readonly #variant: LoadedVariant;
  readonly #clock: Clock;
  readonly fp32Ms: number[] = [];
  readonly variantMs: number[] = [];
  readonly ratios: number[] = [];

  constructor(fp32: LoadedVariant, variant: LoadedVariant, clock: Clock) {
    this.#fp32 = fp32;
    this.#variant = variant;
    this.#clock = clock;
  }

  /** Who goes first alternates: neither always finds the warmer machine. */
  async run(
    inputs: readonly NamedTensor[],
    outputs: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly NamedTensor[]> {
    const request = { inputs, outputs };
    const variantFirst = this.ratios.length % 2 === 1;
    const first = await this.#timed(variantFirst ? this.#variant : this.#fp32, request, signal);
    const second = await this.#timed(variantFirst ? this.#fp32 : this.#variant, request, signal);
    const [fp32, variant] = variantFirst ? [second, first] : [first, second];
    this.fp32Ms.push(fp32.latencyMs);
    this.variantMs.push(variant.latencyMs);
    this.ratios.push(variant.computeUs / Math.max(1, fp32.computeUs));
    return variant.outputs;
  }

  async #timed(
    one: LoadedVariant,
    request: Pick<VariantRequest, 'inputs' | 'outputs'>,
    signal: AbortSignal,
  ): Promise<VariantAnswer & { readonly latencyMs: number }> {
    const startMs = this.#clock.monotonicMs();
    const answer = await one.infer({ ...request, deadlineMs: startMs + RUN_TIMEOUT_MS, priority: 0 }, signal);
    return { ...answer, latencyMs: this.#clock.monotonicMs() - startMs };
  }
}

/** Median, and its 95% interval by order statistics (no assumption on how times are distributed). Undefined of nothing. */
export function timeRatioOf(ratios: readonly number[]): TimeRatio | undefined {
  const sorted = [...ratios].sort((a, b) => a - b);
  const n = sorted.length;
  const at = (rank: number): number | undefined => sorted[Math.min(n - 1, Math.max(0, rank))];
  const reach = 0.98 * Math.sqrt(n);
  const [low, high] = [at(Math.floor(n / 2 - reach)), at(Math.ceil(n / 2 + reach))];
  const median = percentile(ratios, 0.5);
  return low === undefined || median === undefined || high === undefined ? undefined : { low, median, high };
}

/** Nearest rank; undefined of nothing. */
export function percentile(values: readonly number[], share: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

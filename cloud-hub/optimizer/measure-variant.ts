// Measures one variant against fp32: first its goldens' score, then the time of both, golden by golden in turns, so that what
// disturbs the machine disturbs both. Single runs on a shared machine say nothing, and a median alone can mislead: the ratio
// comes with the interval that holds the true median 19 times in 20. A variant whose score rules it out isn't timed. Both are
// loaded for this pair alone and have run as often before: an executor whose JavaScript V8 has compiled long ago measured up to 1.48
// times faster than a fresh one of the very same graph.
//
// Bounded in time also where one golden takes seconds (whole pages): all goldens are scored, since accuracy is judged by all of them;
// the warm-up of fp32 and the timing end with the golden in which their time is over. What fewer pairs say is less sure, and the
// interval says how much.
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { runGoldens, type GoldensResult } from '@tidegate/shared/package/run-goldens.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';

/** A package that is loaded as it is served, in executors; shared/serving's ServedModel is one. */
export interface LoadedVariant {
  runGoldens(signal: AbortSignal, onProgress?: GoldensProgress): Promise<GoldensResult>;
  infer(request: VariantRequest, signal: AbortSignal): Promise<VariantAnswer>;
}

export type GoldensProgress = (done: number, count: number) => void;

interface VariantRequest {
  readonly inputs: readonly NamedTensor[];
  readonly outputs: readonly string[];
  readonly deadlineMs: number;
  readonly priority: number;
}

interface VariantAnswer {
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

/** The variant's time inside the engine over fp32's: the median of the pairs, and where the true one lies. */
export interface TimeRatio {
  readonly low: number;
  readonly median: number;
  readonly high: number;
}

interface MeasuredPair {
  readonly variant: Measurement;
  readonly fp32LatenciesMs: readonly number[];
  /** Undefined where it wasn't timed. */
  readonly timeRatio: TimeRatio | undefined;
}

/** Pairs, rounds of all goldens and time that there shall be at least, unless the limit is reached before. */
const LEAST_PAIRS = 60;
const LEAST_ROUNDS = 3;
const LEAST_TIME_MS = 800;
const TIME_LIMIT_MS = 5_000;
/** Of the first round, which reaches all kinds of goldens that there are where it can; then the limit above has passed too. */
const FIRST_ROUND_LIMIT_MS = 20_000;
/** An engine that ran for so long is warm. */
const WARM_UP_LIMIT_MS = 5_000;
const RUN_TIMEOUT_MS = 60_000;
const MOST_ROUNDS = 50;

/**
 * Rejects with what a run rejects with. `worthTiming` decides on the score alone; `pack` holds the goldens. `loadFp32` loads fp32
 * anew; it is closed here. `onProgress` hears of the variant's goldens.
 */
export async function measurePair(
  pack: ModelPackage,
  loadFp32: () => Promise<LoadedVariant & { close(): Promise<void> }>,
  variant: LoadedVariant,
  worthTiming: (measured: Measurement) => boolean,
  clock: Clock,
  signal: AbortSignal,
  onProgress?: GoldensProgress,
): Promise<MeasuredPair> {
  const { score, groupScores, passed } = await variant.runGoldens(signal, onProgress); // also the warm-up
  const untimed: Measurement = { score, groupScores, passed, latenciesMs: [] };
  if (!worthTiming(untimed)) return { variant: untimed, fp32LatenciesMs: [], timeRatio: undefined };
  const fp32 = await loadFp32();
  const pairs = new Pairs(fp32, variant, clock);
  try {
    // Its warm-up, equal to the variant's unless that took long.
    await atMost(WARM_UP_LIMIT_MS, clock, signal, (inner, onDone) => fp32.runGoldens(inner, onDone));
    await timeRounds(pack, pairs, clock, signal);
  } finally {
    await fp32.close();
  }
  return {
    variant: { ...untimed, latenciesMs: pairs.variantMs },
    fp32LatenciesMs: pairs.fp32Ms,
    timeRatio: timeRatioOf(pairs.ratios, pairs.leastDisturbed()),
  };
}

async function timeRounds(pack: ModelPackage, pairs: Pairs, clock: Clock, signal: AbortSignal): Promise<void> {
  const startMs = clock.monotonicMs();
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    const elapsedMs = clock.monotonicMs() - startMs;
    const enough = round >= LEAST_ROUNDS && pairs.ratios.length >= LEAST_PAIRS && elapsedMs >= LEAST_TIME_MS;
    if (enough || (round > 0 && elapsedMs > TIME_LIMIT_MS)) return;
    pairs.beginRound();
    const leftMs = (round === 0 ? FIRST_ROUND_LIMIT_MS : TIME_LIMIT_MS) - elapsedMs;
    await atMost(leftMs, clock, signal, (inner, onProgress) =>
      runGoldens(pack, (inputs, outputs, ends) => pairs.run(inputs, outputs, ends), {
        clock,
        signal: inner,
        onProgress,
      }),
    );
  }
}

/** Runs goldens, and ends after the one in which the time is over. */
async function atMost(
  limitMs: number,
  clock: Clock,
  signal: AbortSignal,
  run: (signal: AbortSignal, onProgress: () => void) => Promise<unknown>,
): Promise<void> {
  const untilMs = clock.monotonicMs() + limitMs;
  const over = new AbortController();
  const onProgress = (): void => {
    if (clock.monotonicMs() >= untilMs) over.abort();
  };
  await run(AbortSignal.any([signal, over.signal]), onProgress).catch((cause: unknown) => {
    if (signal.aborted || !over.signal.aborted) throw cause;
  });
}

class Pairs {
  readonly #fp32: LoadedVariant;
  readonly #variant: LoadedVariant;
  readonly #clock: Clock;
  readonly fp32Ms: number[] = [];
  readonly variantMs: number[] = [];
  readonly ratios: number[] = [];
  /** By golden, the least time inside the engine over all rounds. */
  readonly #leastUs: { fp32: number; variant: number }[] = [];
  #golden = 0;

  constructor(fp32: LoadedVariant, variant: LoadedVariant, clock: Clock) {
    this.#fp32 = fp32;
    this.#variant = variant;
    this.#clock = clock;
  }

  beginRound(): void {
    this.#golden = 0;
  }

  /** The ratio of the best runs, summed over the goldens. */
  leastDisturbed(): number {
    const sum = (of: 'fp32' | 'variant'): number => this.#leastUs.reduce((total, least) => total + least[of], 0);
    return sum('variant') / Math.max(1, sum('fp32'));
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
    const least = (this.#leastUs[this.#golden++] ??= { fp32: Infinity, variant: Infinity });
    least.fp32 = Math.min(least.fp32, fp32.computeUs);
    least.variant = Math.min(least.variant, variant.computeUs);
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

/**
 * Median, and its 95% interval by order statistics (no assumption on how times are distributed), widened to `leastDisturbed`.
 * Undefined of nothing.
 */
export function timeRatioOf(ratios: readonly number[], leastDisturbed: number): TimeRatio | undefined {
  const sorted = [...ratios].sort((a, b) => a - b);
  const n = sorted.length;
  const at = (rank: number): number | undefined => sorted[Math.min(n - 1, Math.max(0, rank))];
  const reach = 0.98 * Math.sqrt(n);
  const [low, high] = [at(Math.floor(n / 2 - reach)), at(Math.ceil(n / 2 + reach))];
  const median = percentile(ratios, 0.5);
  if (low === undefined || median === undefined || high === undefined) return undefined;
  return { low: Math.min(low, leastDisturbed), median, high: Math.max(high, leastDisturbed) };
}

/** Nearest rank; undefined of nothing. */
export function percentile(values: readonly number[], share: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

// Makes every variant of a checked package, measures each against fp32 in executors, and says which one this device class runs.
// Never runs a model in this process: passes run in a worker, models in whatever `load` starts. At most two packages are
// loaded at once, fp32 and the variant that is being measured.
import { join } from 'node:path';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { VariantReport } from '@tidegate/shared/wire/variant-report.js';
import type { MadeVariant } from '../registry/package-ports.js';
import { PASSES } from './build-graph.js';
import { buildVariant } from './build-variant.js';
import { accuracyLost, chooseVariant, type Candidate, type Scored } from './choose-variant.js';
import {
  measurePair,
  percentile,
  type GoldensProgress,
  type LoadedVariant,
  type Measurement,
} from './measure-variant.js';

const TOLD_EVERY_MS = 1000;

interface LoadedPackage extends LoadedVariant {
  readonly graphs: readonly { readonly graph: string; readonly counts: { readonly runs: number } }[];
  close(): Promise<void>;
}

interface OptimizeModules {
  /** Loads a package in executors of its own, as it is served, without `heavy`. */
  readonly load: (pack: ModelPackage, signal: AbortSignal) => Promise<LoadedPackage>;
  readonly clock: Clock;
  /** Name of the class of the machine that `load` runs models on: the rows hold for it only. */
  readonly deviceClass: string;
}

type Row = Omit<VariantReport, 'outcome' | 'reason' | 'deviceClass' | 'variantDigest'>;

interface Tried {
  readonly row: Row;
  readonly folder?: string;
  /** Where it was measured. */
  readonly candidate?: Candidate;
  /** Where it wasn't. */
  readonly verdict?: Pick<VariantReport, 'outcome' | 'reason'>;
}

interface Fp32Measured {
  /** Graphs that its goldens don't reach, behind a branch. */
  readonly unjudged: ReadonlySet<string>;
  readonly measured: Scored;
  readonly sizeBytes: number;
  /** Collected over all pairs. */
  readonly latenciesMs: number[];
}

/**
 * One row for fp32 and one for each pass, in the table's order. Folders lie under `workFolder` and exist for every variant
 * that may be offered (`chosen`, `kept`). `onProgress` hears what is done, seldom more than once a second. Rejects where fp32
 * itself can't be loaded or run, and with the signal's reason.
 */
export async function optimizePackage(
  folder: string,
  workFolder: string,
  modules: OptimizeModules,
  signal: AbortSignal,
  onProgress: (what: string) => void = () => undefined,
): Promise<readonly MadeVariant[]> {
  const pack = await openPackage(folder, { inspect: inspectGraphFile }, { signal });
  const metric = pack.yaml.goldens?.metric;
  if (metric === undefined) return withoutGoldens(pack, modules.deviceClass);
  const { result: base, loadMs } = await timed(modules, () => modules.load(pack, signal));
  const { clock } = modules;
  const measured = await base.runGoldens(signal, goldensTold('fp32', onProgress, clock)).finally(() => base.close());
  const unjudged = new Set(base.graphs.flatMap(({ graph, counts }) => (counts.runs === 0 ? [graph] : [])));
  const sizeBytes = sizeOf(pack);
  const fp32: Fp32Measured = { unjudged, measured, sizeBytes, latenciesMs: [] };
  const tried: Tried[] = [];
  for (const { variant } of PASSES) {
    onProgress(`making ${variant}`);
    const told = goldensTold(variant, onProgress, clock);
    tried.push(await tryVariant(pack, variant, join(workFolder, variant), fp32, modules, signal, told));
  }
  const choice = chooseVariant(
    metric,
    { ...measured, sizeBytes },
    tried.flatMap(({ candidate }) => (candidate === undefined ? [] : [candidate])),
  );
  const { score, groupScores, passed } = measured;
  // Never timed where every variant was ruled out before: its first run then says how fast it is.
  const latenciesMs = fp32.latenciesMs.length > 0 ? fp32.latenciesMs : measured.latenciesMs;
  const own = { variant: 'fp32', sizeBytes, loadMs, ...figures({ score, groupScores, passed, latenciesMs }) };
  const { deviceClass } = modules;
  return [
    { report: { ...own, deviceClass, ...choice.fp32 }, folder },
    ...tried.map((one) => made(one, choice.candidates.get(one.row.variant) ?? one.verdict, deviceClass)),
  ];
}

async function tryVariant(
  pack: ModelPackage,
  variant: string,
  folder: string,
  fp32: Fp32Measured,
  modules: OptimizeModules,
  signal: AbortSignal,
  onProgress: GoldensProgress,
): Promise<Tried> {
  const metric = pack.yaml.goldens?.metric ?? 'exact';
  let row: Row = { variant };
  try {
    const { reason } = await buildVariant(pack, variant, folder, signal, fp32.unjudged);
    if (reason !== undefined) return { row, verdict: { outcome: 'not-applicable', reason } };
    const built = await openPackage(folder, { inspect: inspectGraphFile }, { signal });
    row = { ...row, sizeBytes: sizeOf(built) };
    const { result: loaded, loadMs } = await timed(modules, () => modules.load(built, signal));
    try {
      const worthTiming = (scored: Measurement): boolean => accuracyLost(metric, fp32.measured, scored) === undefined;
      const loadFp32 = (): ReturnType<OptimizeModules['load']> => modules.load(pack, signal);
      const pair = await measurePair(built, loadFp32, loaded, worthTiming, modules.clock, signal, onProgress);
      fp32.latenciesMs.push(...pair.fp32LatenciesMs);
      const { score, passed } = pair.variant;
      const candidate = { variant, sizeBytes: sizeOf(built), score, passed, timeRatio: pair.timeRatio };
      return { row: { ...row, loadMs, ...figures(pair.variant) }, folder, candidate };
    } finally {
      await loaded.close();
    }
  } catch (cause) {
    signal.throwIfAborted();
    const message = cause instanceof Error ? cause.message : String(cause);
    return { row, verdict: { outcome: 'refused', reason: `does not run: ${message.slice(0, 500)}` } };
  }
}

/** Tells of goldens that take their time. */
function goldensTold(variant: string, tell: (what: string) => void, clock: Clock): GoldensProgress {
  let toldMs = clock.monotonicMs();
  return (done, count) => {
    if (clock.monotonicMs() - toldMs < TOLD_EVERY_MS) return;
    toldMs = clock.monotonicMs();
    tell(done < count ? `measuring ${variant}: ${done} of ${count} goldens` : `timing ${variant}`);
  };
}

function figures({ score, groupScores, latenciesMs }: Measurement): Partial<Row> {
  const [p50, p99] = [percentile(latenciesMs, 0.5), percentile(latenciesMs, 0.99)];
  return {
    ...(Number.isFinite(score) ? { score, groupScores: { ...groupScores } } : {}),
    ...(p50 === undefined || p99 === undefined ? {} : { latencyP50Ms: p50, latencyP99Ms: p99 }),
  };
}

function made(one: Tried, verdict: Tried['verdict'], deviceClass: string): MadeVariant {
  const { outcome, reason } = verdict ?? { outcome: 'refused', reason: 'it was not measured' };
  const offered = outcome === 'chosen' || outcome === 'kept';
  const report = { ...one.row, deviceClass, outcome, reason };
  return offered && one.folder !== undefined ? { report, folder: one.folder } : { report };
}

function withoutGoldens(pack: ModelPackage, deviceClass: string): MadeVariant[] {
  const reason = 'no goldens to judge its accuracy by';
  const own = { variant: 'fp32', sizeBytes: sizeOf(pack), deviceClass, outcome: 'chosen' as const };
  return [
    { report: { ...own, reason: 'without goldens only the model as published can be trusted' }, folder: pack.folder },
    ...PASSES.map(({ variant }) => ({ report: { variant, deviceClass, outcome: 'refused' as const, reason } })),
  ];
}

function sizeOf(pack: ModelPackage): number {
  return pack.files.reduce((sum, file) => sum + file.sizeBytes, 0);
}

async function timed<T>({ clock }: OptimizeModules, act: () => Promise<T>): Promise<{ result: T; loadMs: number }> {
  const startMs = clock.monotonicMs();
  const result = await act();
  return { result, loadMs: clock.monotonicMs() - startMs };
}

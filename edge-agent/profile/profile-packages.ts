// Profiles packages on this device, in executors of its own: loads each graph once to see its signature and, through a golden,
// a real row; then each configuration (provider, threads), side by side as far as memory allows; then runs their cells in
// rounds until the time is over. Packages given together are compared: the time is shared among them.
import { arch, availableParallelism, freemem, platform, totalmem } from 'node:os';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import type { Provider } from '@tidegate/shared/runtime/engine.js';
import type { GraphRunner, Runtime } from '@tidegate/shared/runtime/graph-runner.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { carriedState } from '@tidegate/shared/package/graph-state.js';
import { serveModel } from '@tidegate/shared/serving/open-served-model.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { readCgroupLimits } from '@tidegate/shared/system/cgroup-limits.js';
import { loadWarnings, observeLoad } from './machine-load.js';
import { readProcessMemory } from '@tidegate/shared/system/process-memory.js';
import { batchSizes, cellsOf, loadedTogether } from './profile-plan.js';
import type { ConfigurationMeasure, GraphMeasure, ProfileReport } from './profile-report.js';
import { makeRow } from '@tidegate/shared/serving/made-up-row.js';
import { firstRow, takesBatches } from './profile-rows.js';
import { RecordingRuntime } from './record-feeds.js';
import { runCells, type LoadedConfiguration } from './run-cells.js';
import { adviseSizing } from './sizing-advice.js';

export interface ProfiledPackage {
  readonly label: string;
  readonly package: ModelPackage;
}

interface ProfileOptions {
  readonly budgetMs: number;
  readonly providers: readonly Provider[];
  readonly threads: readonly number[];
  /** Undefined = powers of two up to the package's `batching.maxRows`. */
  readonly batches: readonly number[] | undefined;
  /** Dynamic dimensions by input name, where no golden gives a row. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly deadlinesMs: readonly number[];
}

interface ProfileModules {
  readonly runtime: Runtime;
  readonly files: Pick<Files, 'read'>;
  readonly clock: Clock;
  /** A sentence at each step, and the share of the time that is over. */
  readonly onProgress: (what: string, share: number) => void;
}

/** Where loading eats the time, running still gets so much of it, and the whole takes longer than was asked. */
const RUNNING_SHARE_LEAST = 0.3;
/** Tried for a row of each graph; what none of them reaches is measured with a made up one. */
const GOLDENS_MAX = 64;

/** A graph as it was seen in its first load. */
interface SeenGraph extends Pick<GraphMeasure, 'label' | 'graph' | 'rows' | 'loadFirstMs'> {
  readonly path: string;
  readonly row: readonly NamedTensor[];
  readonly batches: readonly number[];
  readonly residentBytes: number | undefined;
}

interface Configuration {
  readonly seen: SeenGraph;
  readonly provider: Provider;
  readonly threads: number;
}

/** Rejects with PackageError, RuntimeError, MadeUpRowError, or the signal's reason. */
export async function profilePackages(
  packages: readonly ProfiledPackage[],
  options: ProfileOptions,
  modules: ProfileModules,
  signal: AbortSignal,
): Promise<ProfileReport> {
  const { clock, onProgress } = modules;
  const startMs = clock.monotonicMs();
  onProgress('looking at what else loads the machine', 0);
  const load = await observeLoad(modules, signal);
  const seen: SeenGraph[] = [];
  for (const pack of packages) {
    onProgress(`loading ${pack.label}`, 0);
    seen.push(...(await look(pack, options, modules, signal)));
  }
  const graphs = await measureAll(seen, options, modules, startMs, signal);
  const warnings = loadWarnings(load);
  return {
    device: `${platform()} ${arch()}, ${availableParallelism()} cores, ${(totalmem() / 2 ** 30).toFixed(1)} GiB`,
    load,
    warnings,
    tookMs: clock.monotonicMs() - startMs,
    graphs,
    advice: adviseSizing(graphs, options.deadlinesMs, load.quotaCores ?? load.cores),
  };
}

/** Loads a package as it would be served and runs goldens until each graph was fed. */
async function look(
  { label, package: pack }: ProfiledPackage,
  { batches, shapes }: ProfileOptions,
  { runtime, clock, files }: ProfileModules,
  signal: AbortSignal,
): Promise<SeenGraph[]> {
  const recording = new RecordingRuntime(runtime);
  const { name } = pack.yaml;
  const { versionDigest } = pack;
  const identity = { name, version: '1', versionDigest, variant: label, variantDigest: versionDigest };
  const served = await serveModel(
    pack,
    identity,
    { providers: ['cpu'], intraOpThreads: 1, queueDepthMax: 16, heavy: false },
    { runtime: recording, inspect: inspectGraphFile, clock },
    signal,
  );
  try {
    const allFed = (): boolean => served.graphs.every(({ graph }) => recording.feeds.has(pack.pathOf(graph)));
    await runGoldensUntil(served, allFed, signal);
    const found: SeenGraph[] = [];
    for (const { graph, pid } of served.graphs) {
      const path = pack.pathOf(graph);
      const { inputs, outputs } = await inspectGraphFile(path);
      const fed = recording.feeds.get(path);
      const batched = takesBatches(inputs, outputs);
      const state = carriedState(pack.yaml, graph, { inputs, outputs })?.initial ?? []; // as a sequence begins
      const free = inputs.filter(({ name }) => !state.some((carried) => carried.name === name));
      const given = fed === undefined || shapes.size > 0 ? [...makeRow(free, shapes, seededRandom(1)), ...state] : fed;
      found.push({
        label,
        graph,
        path,
        rows: given === fed ? 'golden' : 'made up',
        row: batched ? firstRow(given) : given,
        batches: batched ? batchSizes(batches, pack.yaml.batching.maxRows) : [1],
        loadFirstMs: recording.loadMs.get(path) ?? Number.NaN,
        residentBytes: (await readProcessMemory(pid, files))?.residentBytes,
      });
    }
    return found;
  } finally {
    await served.close();
  }
}

/** Mostly one is enough, and the rest would take the budget's time; behind a branch it is the first that takes the other side. */
async function runGoldensUntil(
  served: { runGoldens(signal: AbortSignal, onProgress: (done: number) => void): Promise<unknown> },
  allFed: () => boolean,
  signal: AbortSignal,
): Promise<void> {
  const enough = new AbortController();
  try {
    await served.runGoldens(AbortSignal.any([signal, enough.signal]), (done) => {
      if (allFed() || done >= GOLDENS_MAX) enough.abort();
    });
  } catch (error) {
    if (!enough.signal.aborted) throw error;
  }
}

async function measureAll(
  seen: readonly SeenGraph[],
  options: ProfileOptions,
  modules: ProfileModules,
  startMs: number,
  signal: AbortSignal,
): Promise<GraphMeasure[]> {
  const configurations = seen.flatMap((graph) =>
    options.providers.flatMap((provider) => options.threads.map((threads) => ({ seen: graph, provider, threads }))),
  );
  const largest = Math.max(0, ...seen.map(({ residentBytes }) => residentBytes ?? 0));
  const together = loadedTogether(largest, await freeMemory(modules.files), configurations.length);
  const measured = new Map<Configuration, ConfigurationMeasure | string>();
  for (let first = 0; first < configurations.length; first += together) {
    const group = configurations.slice(first, first + together);
    const spentMs = modules.clock.monotonicMs() - startMs;
    const leftMs = Math.max(0, options.budgetMs - spentMs);
    const budgetMs = leftMs * (group.length / (configurations.length - first));
    const leastMs = options.budgetMs * RUNNING_SHARE_LEAST * (group.length / configurations.length);
    await measureGroup(group, { ...options, budgetMs, leastMs }, modules, measured, signal);
  }
  return seen.map((graph) => {
    const own = configurations.filter((one) => one.seen === graph);
    const results = own.map((one) => measured.get(one));
    const { label, graph: file, rows, loadFirstMs } = graph;
    return {
      ...{ label, graph: file, rows, loadFirstMs },
      configurations: results.filter((result) => typeof result === 'object'),
      skipped: results.filter((result) => typeof result === 'string'),
    };
  });
}

async function freeMemory(files: Pick<Files, 'read'>): Promise<number> {
  const { memoryBytes, memoryUsedBytes = 0 } = await readCgroupLimits(files);
  return Math.min(freemem(), (memoryBytes ?? Infinity) - memoryUsedBytes);
}

async function measureGroup(
  group: readonly Configuration[],
  options: ProfileOptions & { readonly leastMs: number },
  modules: ProfileModules,
  measured: Map<Configuration, ConfigurationMeasure | string>,
  signal: AbortSignal,
): Promise<void> {
  const { clock, files, onProgress } = modules;
  const startMs = clock.monotonicMs();
  const loaded: { configuration: Configuration; runner: GraphRunner }[] = [];
  try {
    for (const configuration of group) {
      const runner = await loadOrReason(configuration, modules, signal);
      if (typeof runner === 'string') measured.set(configuration, runner);
      else loaded.push({ configuration, runner });
    }
    const budgetMs = Math.max(options.leastMs, options.budgetMs - (clock.monotonicMs() - startMs));
    const results = await runCells(
      loaded.map(({ configuration: { seen }, runner }): LoadedConfiguration => ({
        runner,
        row: seen.row,
        cells: cellsOf(seen.batches, runner.concurrency),
      })),
      { budgetMs, clock, onProgress: (share) => onProgress('measuring', share) },
      signal,
    );
    for (const [index, { configuration, runner }] of loaded.entries()) {
      const { provider, threads } = configuration;
      const memory = await readProcessMemory(runner.pid, files);
      measured.set(configuration, {
        ...{ provider, threads, concurrency: runner.concurrency, loadAgainMs: runner.loadMs },
        engine: `${runner.engine.name} ${runner.engine.version}`,
        residentBytes: memory?.residentBytes,
        peakResidentBytes: memory?.peakBytes,
        cells: results[index] ?? [],
      });
    }
  } finally {
    await Promise.all(loaded.map(({ runner }) => runner.close()));
  }
}

/** Another rung of the ladder than the asked one is no measurement of it. */
async function loadOrReason(
  { seen, provider, threads }: Configuration,
  { runtime }: ProfileModules,
  signal: AbortSignal,
): Promise<GraphRunner | string> {
  const options = { label: seen.label, path: seen.path, providers: [provider], intraOpThreads: threads };
  const runner = await runtime.load(options, signal);
  if (runner.provider.runs === provider) return runner;
  await runner.close();
  return `${provider} with ${threads} threads: ${runner.provider.reason}`;
}

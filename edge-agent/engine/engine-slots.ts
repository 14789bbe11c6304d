// The device's models by name (port: model-slots.ts). Preparing loads in a spare executor while the active version serves
// on; activating is one assignment, so every request is answered wholly by the version that it found; closing a model waits
// for its requests (ServedModel's own promise). What `activate` returns is kept, for undoing, until it is closed. Whether a model
// that is kept is in memory at the moment is the residency's matter.
import type { ThreadsChoice } from '@tidegate/shared/serving/choose-threads.js';
import type { BestThreads } from '@tidegate/shared/serving/measured-threads.js';
import { serveModel } from '@tidegate/shared/serving/open-served-model.js';
import type {
  LoadObserver,
  RunObserver,
  ServedModel,
  ServedModelOptions,
} from '@tidegate/shared/serving/served-model.js';
import type { ProviderInUse } from '@tidegate/shared/serving/provider-in-use.js';
import type { Runtime } from '@tidegate/shared/runtime/graph-runner.js';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { openPackage, type OpenPackageDeps } from '@tidegate/shared/package/open-package.js';
import type { Cores } from '@tidegate/shared/scheduling/cores.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { EndedSequences } from '@tidegate/shared/serving/ended-sequences.js';
import type { SequenceAsked } from '@tidegate/shared/serving/inference-service.js';
import type { SequenceCounts } from '@tidegate/shared/serving/sequences.js';
import type { ServingModels } from '../router/router.js';
import type { Lease, Residency, ResidencyAsk } from '@tidegate/shared/residency/residency.js';
import type { ResidentReport, ResidentRules } from '@tidegate/shared/residency/resident.js';
import { estimatedBytes } from '@tidegate/shared/residency/memory-budget.js';
import type { GoldenOutcome, ModelSlots, ModelSource, PreparedModel } from './model-slots.js';

interface EngineSlotsOptions extends ServedModelOptions {
  /** For packages that don't say: how long a model stays in memory without a request; undefined = until its place is needed. */
  readonly keepAliveMs?: number | undefined;
  /** Models that never leave memory, whatever their packages say. */
  readonly pinned?: ReadonlySet<string>;
}

interface EngineSlotsModules {
  readonly residency: Residency;
  readonly runtime: Runtime;
  readonly inspect: OpenPackageDeps['inspect'];
  readonly clock: Clock;
  readonly log: Log;
  /** A model was taken off the device: what was kept of it goes too. */
  readonly onRemoved?: (model: string) => void;
  /** Measures how many threads suit each model; absent = `intraOpThreads` for all. */
  readonly bestThreads?: BestThreads | undefined;
  /** What all models compute on. */
  readonly cores?: Cores;
  /** Hears of each run, for statistics. */
  readonly onRun?: RunObserver;
}

const NO_CORES = { count: 0, busy: 0, waiting: 0 };
/** What a self-test may wait for memory. */
const SELF_TEST_WAIT_MS = 300_000;

/** A prepared model with what serving needs of it. */
class LoadedModel implements PreparedModel {
  readonly source: ModelSource;
  readonly served: ServedModel;
  /** How many threads its runs have, and why; undefined where the settings say it. */
  readonly threads: ThreadsChoice | undefined;
  /** Another version answers in its place; it is kept for undoing. */
  replaced = false;
  readonly #modules: EngineSlotsModules;

  constructor(
    source: ModelSource,
    served: ServedModel,
    threads: ThreadsChoice | undefined,
    modules: EngineSlotsModules,
  ) {
    this.source = source;
    this.served = served;
    this.threads = threads;
    this.#modules = modules;
  }

  /** Is it in memory, and what does it take? */
  get residency(): ResidentReport | undefined {
    return this.#modules.residency.reportOf(this.served);
  }

  get provider(): ProviderInUse {
    return this.served.provider;
  }

  get executorDeaths(): number {
    return this.served.executorDeaths;
  }

  warmUp(signal: AbortSignal, onProgress?: (share: number) => void): Promise<void> {
    return this.#inMemory(signal, () => this.served.warmUp(signal, (done, count) => onProgress?.(done / count)));
  }

  async selfTest(signal: AbortSignal, onProgress?: (share: number) => void): Promise<GoldenOutcome> {
    const onDone = (done: number, of: number): void => onProgress?.(done / of);
    const outcome = await this.#inMemory(signal, () => this.served.runGoldens(signal, onDone));
    const { passed, score, threshold, count } = outcome;
    return { passed, score, threshold, count };
  }

  /** Loaded, and kept so for as long as `work` takes. */
  async #inMemory<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const deadlineMs = this.#modules.clock.monotonicMs() + SELF_TEST_WAIT_MS;
    const release = await this.#modules.residency.hold(this.served, { deadlineMs }, signal);
    try {
      return await work();
    } finally {
      release();
    }
  }

  /** Sequences that began with it go on until they end, for as long as its package says. */
  close(): Promise<void> {
    const { drainTimeoutMs } = this.served.yaml.sequences;
    const sequences = this.served.sequenceCounts?.live ?? 0;
    if (sequences > 0) {
      const { name: model, version } = this.source;
      this.#modules.log.info(
        { model, version, sequences, drainTimeoutMs },
        'a version stays until its sequences have ended',
      );
    }
    return this.served.close(drainTimeoutMs);
  }
}

export class EngineSlots implements ModelSlots, ServingModels {
  readonly #options: EngineSlotsOptions;
  readonly #modules: EngineSlotsModules;
  readonly #active = new Map<string, LoadedModel>();
  /** Every loaded model that was not closed: active, prepared, kept for undoing. */
  readonly #loaded = new Set<LoadedModel>();
  readonly #endedSequences = new EndedSequences();

  constructor(options: EngineSlotsOptions, modules: EngineSlotsModules) {
    this.#options = options;
    this.#modules = modules;
  }

  /** `opened`: the package at the source's path, where somebody has opened it already. */
  async prepare(
    source: ModelSource,
    signal: AbortSignal,
    onLoading?: LoadObserver,
    opened?: ModelPackage,
  ): Promise<LoadedModel> {
    const { name, version, versionDigest, variant, variantDigest, path } = source;
    const { residency } = this.#modules;
    const modules = { ...this.#modules, endedSequences: this.#endedSequences, onLoading };
    const options = { ...this.#options, required: true };
    const pack = opened ?? (await openPackage(path, this.#modules, { name, signal }));
    const { memory } = pack.yaml;
    const pin = memory.pinned || this.#options.pinned?.has(name) === true;
    let loaded: LoadedModel | undefined;
    const rules: ResidentRules = {
      keepAliveMs: memory.keepAliveMs ?? this.#options.keepAliveMs,
      pinned: () => pin && loaded?.replaced !== true,
    };
    const identity = { name, version, versionDigest, variant, variantDigest };
    let threads: ThreadsChoice | undefined;
    const served = await residency.admit(
      name,
      { bytes: estimatedBytes(pack.yaml, pack.files), rules },
      async () => {
        const serve = (intraOpThreads: number): Promise<ServedModel> =>
          serveModel(pack, identity, { ...options, intraOpThreads }, modules, signal);
        const { bestThreads } = this.#modules;
        if (bestThreads === undefined) return serve(this.#options.intraOpThreads);
        const chosen = await bestThreads.serve(pack, identity, serve, signal);
        threads = chosen.choice;
        return chosen.served;
      },
      signal,
    );
    loaded = new LoadedModel(source, served, threads, this.#modules);
    this.#loaded.add(loaded);
    const kept = loaded;
    void served.closed.then(() => {
      residency.forget(served);
      this.#loaded.delete(kept);
    });
    const { runs: provider, reason, cpuNodesRatio } = loaded.provider;
    this.#modules.log.info(
      { model: name, version, digest: variantDigest, provider, cpuNodesRatio, reason },
      'model loaded',
    );
    return loaded;
  }

  activate(prepared: PreparedModel): LoadedModel | undefined {
    if (!(prepared instanceof LoadedModel) || !this.#loaded.has(prepared)) {
      throw new TypeError('activate() takes a model that prepare() returned and that was not closed');
    }
    const { name, version, variantDigest } = prepared.source;
    const before = this.#active.get(name);
    this.#active.set(name, prepared);
    this.#modules.log.info({ model: name, version, digest: variantDigest }, 'model active');
    prepared.replaced = false;
    if (before === undefined || before === prepared) return undefined;
    before.replaced = true;
    return before;
  }

  /** Closes a version that was replaced. Resolves when it has gone, or at once where live sequences hold it for a while yet. */
  async retire(replaced: LoadedModel): Promise<void> {
    const sequences = replaced.served.sequenceCounts?.live ?? 0;
    const closed = replaced.close();
    if (sequences === 0) return closed;
    const { name: model, version } = replaced.source;
    closed.catch((error: unknown) => this.#modules.log.error({ error, model, version }, 'a version did not close'));
  }

  async remove(name: string): Promise<void> {
    const active = this.#active.get(name);
    if (active === undefined) return;
    this.#active.delete(name);
    this.#modules.onRemoved?.(name);
    this.#modules.log.info({ model: name }, 'model taken out of service');
    await Promise.all(this.#versions(name).map(({ served }) => served.close()));
  }

  active(name: string): LoadedModel | undefined {
    return this.#active.get(name);
  }

  /** A sequence that has begun goes on with the version that it began with; a start goes to the active one. */
  serving(name: string, sequence?: SequenceAsked): ServedModel | undefined {
    const active = this.#active.get(name)?.served;
    if (sequence === undefined || sequence.start || active?.holds(sequence) === true) return active;
    return this.#versions(name).find(({ served }) => served.holds(sequence))?.served ?? active;
  }

  endSequences(scope: string): void {
    for (const { served } of this.#loaded) served.endSequences(scope);
  }

  /** Summed over the versions that are loaded; undefined where the active one has no state. */
  sequenceCounts(name: string): SequenceCounts | undefined {
    const all = this.#versions(name).flatMap(({ served }) => served.sequenceCounts ?? []);
    if (all.length === 0) return undefined;
    return all.reduce((sum, { live, started, ended }) => ({
      live: sum.live + live,
      started: sum.started + started,
      ended: {
        ended: sum.ended.ended + ended.ended,
        idle: sum.ended.idle + ended.idle,
        restarted: sum.ended.restarted + ended.restarted,
        lost: sum.ended.lost + ended.lost,
        closed: sum.ended.closed + ended.closed,
      },
    }));
  }

  #versions(name: string): LoadedModel[] {
    return [...this.#loaded].filter(({ source }) => source.name === name);
  }

  hold(model: ServedModel, ask: ResidencyAsk, signal: AbortSignal): Lease | Promise<Lease> {
    return this.#modules.residency.hold(model, ask, signal);
  }

  inMemory(model: ServedModel): boolean {
    return this.#modules.residency.reportOf(model)?.state === 'resident';
  }

  /** Loads the active version where it isn't in memory, if there is room for it; nobody waits. */
  warm(name: string): void {
    const active = this.#active.get(name);
    if (active !== undefined) this.#modules.residency.warm(active.served);
  }

  /** Has the active version in memory now, out of quarantine, whoever must leave for it. Rejects with ServingError where it doesn't fit. */
  async load(name: string, signal: AbortSignal): Promise<void> {
    const active = this.#active.get(name);
    if (active === undefined) return;
    this.release(name);
    await this.#modules.residency.load(active.served, signal);
  }

  prewarmTimes(name: string): readonly string[] {
    return this.#active.get(name)?.served.yaml.memory.prewarm ?? [];
  }

  get memory(): Omit<Residency['report'], 'ownBytes'> & { readonly agentBytes: number } {
    const { ownBytes: agentBytes, ...report } = this.#modules.residency.report;
    return { ...report, agentBytes };
  }

  /** What computes and waits, over all models. */
  get cores(): Cores['report'] {
    return this.#modules.cores?.report ?? NO_CORES;
  }

  /** Of all models that are loaded, also those that are kept for undoing. */
  get executorPids(): ReadonlySet<number> {
    return new Set([...this.#loaded].flatMap(({ served }) => served.pids));
  }

  /** Ends the quarantine of the active version. False where it is in none, undefined where there is no such model. */
  release(name: string): boolean | undefined {
    const released = this.#active.get(name)?.served.release();
    if (released === true) this.#modules.log.warn({ model: name }, 'model released from quarantine');
    return released;
  }

  names(): readonly string[] {
    return [...this.#active.keys()].sort();
  }

  async closeAll(): Promise<void> {
    this.#active.clear();
    this.#modules.residency.close();
    await Promise.all([...this.#loaded].map(({ served }) => served.close()));
  }
}

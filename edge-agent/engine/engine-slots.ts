// The device's models by name (port: model-slots.ts). Preparing loads in a spare executor while the active version serves
// on; activating is one assignment, so every request is answered wholly by the version that it found; closing a model waits
// for its requests (ServedModel's own promise). What `activate` returns stays loaded, for undoing, until it is closed.
import { openServedModel } from '@tidegate/shared/serving/open-served-model.js';
import type { RunObserver, ServedModel, ServedModelOptions } from '@tidegate/shared/serving/served-model.js';
import { unmetRequirement, type ProviderInUse } from '@tidegate/shared/serving/provider-in-use.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import type { Runtime } from '@tidegate/shared/runtime/graph-runner.js';
import type { OpenPackageDeps } from '@tidegate/shared/package/open-package.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { EndedSequences } from '@tidegate/shared/serving/ended-sequences.js';
import type { SequenceAsked } from '@tidegate/shared/serving/inference-service.js';
import type { SequenceCounts } from '@tidegate/shared/serving/sequences.js';
import type { ServingModels } from '../router/router.js';
import type { GoldenOutcome, ModelSlots, ModelSource, PreparedModel } from './model-slots.js';

interface EngineSlotsModules {
  readonly runtime: Runtime;
  readonly inspect: OpenPackageDeps['inspect'];
  readonly clock: Clock;
  readonly log: Log;
  /** A model was taken off the device: what was kept of it goes too. */
  readonly onRemoved?: (model: string) => void;
  /** Hears of each run, for statistics. */
  readonly onRun?: RunObserver;
}

/** A prepared model with what serving needs of it. */
class LoadedModel implements PreparedModel {
  readonly source: ModelSource;
  readonly served: ServedModel;

  readonly #log: Log;

  constructor(source: ModelSource, served: ServedModel, log: Log) {
    this.source = source;
    this.served = served;
    this.#log = log;
  }

  get provider(): ProviderInUse {
    return this.served.provider;
  }

  get executorDeaths(): number {
    return this.served.executorDeaths;
  }

  async selfTest(signal: AbortSignal): Promise<GoldenOutcome> {
    const { passed, score, threshold, count } = await this.served.runGoldens(signal);
    return { passed, score, threshold, count };
  }

  /** Sequences that began with it go on until they end, for as long as its package says. */
  close(): Promise<void> {
    const { drainTimeoutMs } = this.served.yaml.sequences;
    const sequences = this.served.sequenceCounts?.live ?? 0;
    if (sequences > 0) {
      const { name: model, version } = this.source;
      this.#log.info({ model, version, sequences, drainTimeoutMs }, 'a version stays until its sequences have ended');
    }
    return this.served.close(drainTimeoutMs);
  }
}

export class EngineSlots implements ModelSlots, ServingModels {
  readonly #options: ServedModelOptions;
  readonly #modules: EngineSlotsModules;
  readonly #active = new Map<string, LoadedModel>();
  /** Every loaded model that was not closed: active, prepared, kept for undoing. */
  readonly #loaded = new Set<LoadedModel>();
  readonly #endedSequences = new EndedSequences();

  constructor(options: ServedModelOptions, modules: EngineSlotsModules) {
    this.#options = options;
    this.#modules = modules;
  }

  async prepare(source: ModelSource, signal: AbortSignal): Promise<LoadedModel> {
    const { name, version, versionDigest, variant, variantDigest, path } = source;
    const served = await openServedModel(
      path,
      { name, version, versionDigest, variant, variantDigest },
      this.#options,
      { ...this.#modules, endedSequences: this.#endedSequences },
      signal,
    );
    const unmet = unmetRequirement(served.yaml.require, served.provider);
    if (unmet !== undefined) {
      await served.close();
      throw new ServingError('not-ready', unmet);
    }
    const loaded = new LoadedModel(source, served, this.#modules.log);
    this.#loaded.add(loaded);
    void served.closed.then(() => this.#loaded.delete(loaded));
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
    return before === prepared ? undefined : before;
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
    await Promise.all([...this.#loaded].map(({ served }) => served.close()));
  }
}

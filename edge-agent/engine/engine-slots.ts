// The device's models by name (port: model-slots.ts). Preparing loads in a spare executor while the active version serves
// on; activating is one assignment, so every request is answered wholly by the version that it found; closing a model waits
// for its requests (ServedModel's own promise). What `activate` returns stays loaded, for undoing, until it is closed.
import {
  openServedModel,
  type RunObserver,
  type ServedModel,
  type ServedModelOptions,
} from '@tidegate/shared/serving/served-model.js';
import { unmetRequirement, type ProviderInUse } from '@tidegate/shared/serving/provider-in-use.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import type { Runtime } from '@tidegate/shared/runtime/graph-runner.js';
import type { OpenPackageDeps } from '@tidegate/shared/package/open-package.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
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

  constructor(source: ModelSource, served: ServedModel) {
    this.source = source;
    this.served = served;
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

  close(): Promise<void> {
    return this.served.close();
  }
}

export class EngineSlots implements ModelSlots, ServingModels {
  readonly #options: ServedModelOptions;
  readonly #modules: EngineSlotsModules;
  readonly #active = new Map<string, LoadedModel>();
  /** Every loaded model that was not closed: active, prepared, kept for undoing. */
  readonly #loaded = new Set<LoadedModel>();

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
      this.#modules,
      signal,
    );
    const unmet = unmetRequirement(served.yaml.require, served.provider);
    if (unmet !== undefined) {
      await served.close();
      throw new ServingError('not-ready', unmet);
    }
    const loaded = new LoadedModel(source, served);
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

  async remove(name: string): Promise<void> {
    const active = this.#active.get(name);
    if (active === undefined) return;
    this.#active.delete(name);
    this.#modules.onRemoved?.(name);
    this.#modules.log.info({ model: name }, 'model taken out of service');
    await active.close();
  }

  active(name: string): LoadedModel | undefined {
    return this.#active.get(name);
  }

  serving(name: string): ServedModel | undefined {
    return this.#active.get(name)?.served;
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
    await Promise.all([...this.#loaded].map((loaded) => loaded.close()));
  }
}

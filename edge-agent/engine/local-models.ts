// The models of `tidegate-agent serve`: found under the paths that it was given, loaded from there, and read again when
// somebody asks for it (Triton's model repository extension). A load that fails leaves what was served in service; loads
// and unloads of all models go one after the other. One that doesn't fit the memory budget keeps the others from nothing: it is
// known with the reason, and its privacy policy holds.
import { dirname } from 'node:path';
import { DoesNotFitError } from '@tidegate/shared/residency/residency.js';
import { findPackages, type FoundPackage } from '@tidegate/shared/package/find-packages.js';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { PackageError } from '@tidegate/shared/package/package-error.js';
import type { ModelState } from '@tidegate/shared/serving/inference-service.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { Privacy } from '@tidegate/shared/wire/privacy.js';
import { UNLOADED, type ModelControl } from '../router/model-control.js';
import type { EngineSlots } from './engine-slots.js';
import type { ModelSource } from './model-slots.js';

/** What local files are called where nothing says it. */
const LOCAL_VERSION = '1';
const LOCAL_VARIANT = 'as-given';

export class LocalModels implements ModelControl {
  readonly #paths: readonly string[];
  readonly #slots: EngineSlots;
  /** Every model that was ever found. */
  readonly #known = new Map<string, Known>();
  readonly #log: Log;
  #last: Promise<unknown> = Promise.resolve();

  constructor(paths: readonly string[], slots: EngineSlots, log: Log) {
    this.#paths = paths;
    this.#slots = slots;
    this.#log = log;
  }

  /**
   * Loads everything that was found and fits the memory budget; the rest is told in the log. Rejects naming the first model that
   * can't be served; where none fits also that one, unless `elsewhere`: somebody else may answer for it.
   */
  async loadAll(sources: readonly FoundModel[], signal: AbortSignal, elsewhere = false): Promise<void> {
    let first: Error | undefined;
    for (const { source, under, pack } of sources) {
      const { name, version, path } = source;
      const known = { under, version, privacy: pack.yaml.privacy };
      try {
        this.#slots.activate(await this.#slots.prepare(source, signal, undefined, pack));
        this.#known.set(name, known);
      } catch (cause) {
        const error = new Error(`model '${name}' (${path}) can't be served: ${messageOf(cause)}`, { cause });
        if (!(cause instanceof DoesNotFitError)) throw error;
        first ??= error;
        this.#known.set(name, { ...known, tooLarge: cause.message });
        this.#log.error(
          { model: name, path, error: cause.message },
          'model not loaded: it does not fit the memory budget',
        );
      }
    }
    if (first !== undefined && this.#slots.names().length === 0 && !elsewhere) throw first;
  }

  load(model: string, signal: AbortSignal): Promise<void> {
    return this.#inTurn(() => this.#load(model, signal));
  }

  unload(model: string): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#slots.active(model) === undefined) throw notFound(model, 'is not in service');
      await this.#slots.remove(model);
    });
  }

  unloaded(): readonly ModelState[] {
    return [...this.#known]
      .filter(([name]) => this.#slots.active(name) === undefined)
      .map(([name, { version, tooLarge }]) => ({ name, version, ready: false, reason: tooLarge ?? UNLOADED }));
  }

  whyAbsent(model: string, version: string | undefined): string | undefined {
    const known = this.#known.get(model);
    if (this.#slots.active(model) !== undefined || (version ?? known?.version) !== known?.version) return undefined;
    return known?.tooLarge;
  }

  privacyOf(model: string): Privacy | undefined {
    return this.#known.get(model)?.privacy;
  }

  async #load(model: string, signal: AbortSignal): Promise<void> {
    const known = this.#known.get(model);
    const paths = known === undefined ? this.#paths : [known.under];
    const found = await findLocalModels(paths, signal).catch((cause: unknown) => {
      throw new ServingError('failed', `the model folders can't be read: ${messageOf(cause)}`, { cause });
    });
    const fresh = found.find(({ source }) => source.name === model);
    if (fresh === undefined) throw notFound(model, `is not under ${paths.join(', ')}`);
    try {
      if (this.#slots.active(model)?.source.versionDigest === fresh.source.versionDigest) {
        await this.#slots.load(model, signal); // the same files: only into memory, where it had left
        return;
      }
      const before = this.#slots.activate(await this.#slots.prepare(fresh.source, signal, undefined, fresh.pack));
      const { under, source, pack } = fresh;
      this.#known.set(model, { under, version: source.version, privacy: pack.yaml.privacy });
      if (before !== undefined) await this.#slots.retire(before);
    } catch (cause) {
      throw new ServingError('failed', `model '${model}' can't be served: ${messageOf(cause)}`, { cause });
    }
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined); // the caller sees the error
    return turn;
  }
}

interface Known {
  /** The path that gave it. */
  readonly under: string;
  readonly version: string;
  readonly privacy: Privacy;
  /** Why it was not loaded: it doesn't fit the memory budget. */
  readonly tooLarge?: string;
}

export interface FoundModel {
  readonly source: ModelSource;
  /** The path that it was found under. */
  readonly under: string;
  /** As it was when it was found. */
  readonly pack: ModelPackage;
}

/** Rejects where two paths give models of one name, with PackageError where a path holds none. */
export async function findLocalModels(paths: readonly string[], signal: AbortSignal): Promise<FoundModel[]> {
  const byName = new Map<string, FoundModel>();
  for (const under of paths) {
    for (const found of await findPackages(under)) {
      const pack = await openFound(found, signal);
      const { name } = pack.yaml;
      const before = byName.get(name);
      if (before !== undefined) throw new TwoModelsError(name, before.source.path, found.path);
      const source: ModelSource = {
        name,
        version: found.version ?? LOCAL_VERSION,
        versionDigest: pack.versionDigest,
        variant: LOCAL_VARIANT,
        variantDigest: pack.versionDigest,
        path: found.path,
        verified: false,
      };
      byName.set(name, { source, under, pack });
    }
  }
  return [...byName.values()];
}

/** What is wrong is told with the package's folder. */
async function openFound({ path, name }: FoundPackage, signal: AbortSignal): Promise<ModelPackage> {
  try {
    return await openPackage(path, { inspect: inspectGraphFile }, { signal, ...(name !== undefined && { name }) });
  } catch (error) {
    throw error instanceof PackageError ? error.inside(path.endsWith('.onnx') ? dirname(path) : path) : error;
  }
}

export class TwoModelsError extends Error {
  override readonly name = 'TwoModelsError';
  constructor(model: string, first: string, second: string) {
    super(`two models are called '${model}': ${first} and ${second}`);
  }
}

function notFound(model: string, why: string): ServingError {
  return new ServingError('not-found', `model '${model}' ${why}`, { field: 'model' });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

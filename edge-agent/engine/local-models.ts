// The models of `tidegate-agent serve`: found under the paths that it was given, loaded from there, and read again when
// somebody asks for it (Triton's model repository extension). A load that fails leaves what was served in service; loads
// and unloads of all models go one after the other.
import { findPackages } from '@tidegate/shared/package/find-packages.js';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import type { ModelState } from '@tidegate/shared/serving/inference-service.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import type { ModelControl } from '../router/model-control.js';
import type { EngineSlots } from './engine-slots.js';
import type { ModelSource } from './model-slots.js';

/** What local files are called where nothing says it. */
const LOCAL_VERSION = '1';
const LOCAL_VARIANT = 'as-given';

export class LocalModels implements ModelControl {
  readonly #paths: readonly string[];
  readonly #slots: EngineSlots;
  /** Every model that was ever found, with the path that gave it. */
  readonly #known = new Map<string, { readonly under: string; readonly version: string }>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(paths: readonly string[], slots: EngineSlots) {
    this.#paths = paths;
    this.#slots = slots;
  }

  /** Loads everything that was found. Rejects naming the first model that can't be served. */
  async loadAll(sources: readonly FoundModel[], signal: AbortSignal): Promise<void> {
    for (const { source, under, pack } of sources) {
      try {
        this.#slots.activate(await this.#slots.prepare(source, signal, pack));
        this.#known.set(source.name, { under, version: source.version });
      } catch (cause) {
        throw new Error(`model '${source.name}' (${source.path}) can't be served: ${messageOf(cause)}`, { cause });
      }
    }
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
      .map(([name, { version }]) => ({ name, version, ready: false, reason: 'unloaded' }));
  }

  async #load(model: string, signal: AbortSignal): Promise<void> {
    const known = this.#known.get(model);
    const under = known === undefined ? this.#paths : [known.under];
    const found = await findLocalModels(under, signal).catch((cause: unknown) => {
      throw new ServingError('failed', `the model folders can't be read: ${messageOf(cause)}`, { cause });
    });
    const fresh = found.find(({ source }) => source.name === model);
    if (fresh === undefined) throw notFound(model, `is not under ${under.join(', ')}`);
    try {
      if (this.#slots.active(model)?.source.versionDigest === fresh.source.versionDigest) {
        await this.#slots.load(model, signal); // the same files: only into memory, where it had left
        return;
      }
      const before = this.#slots.activate(await this.#slots.prepare(fresh.source, signal, fresh.pack));
      this.#known.set(model, { under: fresh.under, version: fresh.source.version });
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
      const pack = await openPackage(
        found.path,
        { inspect: inspectGraphFile },
        { signal, ...(found.name === undefined ? {} : { name: found.name }) },
      );
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

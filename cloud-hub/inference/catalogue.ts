// Which versions the hub can answer for, in memory, because the protocol's metadata calls can't wait for a database: every ready version
// with its model.yaml. Read at the start and again when the registry says that a version became ready; versions never change. One that a
// training job made and that did not pass its evaluation answers whoever asks for it, and nobody else.
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import { readModelYaml } from '@tidegate/shared/package/read-model-yaml.js';
import { classLabels } from '@tidegate/shared/serving/class-labels.js';
import type { ModelDetails } from '@tidegate/shared/serving/inference-service.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { ModelYaml } from '@tidegate/shared/wire/model-yaml.js';
import type { Evaluation } from '@tidegate/shared/wire/training-api.js';
import { UNOPTIMISED } from '../registry/choose-variant.js';
import type { Registry, StoredVariant } from '../registry/registry.js';
import type { Database } from '../storage/database.js';

export interface CatalogueEntry {
  readonly variant: StoredVariant;
  readonly yaml: ModelYaml;
  /** Class names of outputs that have them. */
  readonly labels: ModelDetails['labels'];
  /** False for a trained version that is worse than its parent: it is there to be looked at. */
  readonly mayStandIn: boolean;
}

interface CatalogueModules {
  readonly db: Database;
  readonly registry: Pick<Registry, 'variants'>;
  readonly content: ContentStore;
  /** How a trained version did against its parent; undefined for one that nobody trained. */
  readonly evaluationOf: (model: string, version: number) => Promise<Pick<Evaluation, 'passed'> | undefined>;
  readonly log: Log;
}

export class Catalogue {
  readonly #modules: CatalogueModules;
  readonly #models = new Map<string, Map<number, CatalogueEntry>>();
  #refreshing: Promise<void> = Promise.resolve();

  constructor(modules: CatalogueModules) {
    this.#modules = modules;
  }

  /** Adds what became ready since. */
  refresh(): Promise<void> {
    const next = this.#refreshing.then(() => this.#read());
    this.#refreshing = next.catch(() => undefined); // the caller sees the error; the next one reads again
    return next;
  }

  /** A version by number; where none is asked for the newest ready one that may stand in for the model. */
  find(model: string, version: string | undefined): CatalogueEntry | undefined {
    const versions = this.#models.get(model);
    if (versions === undefined) return undefined;
    if (version !== undefined) return versions.get(Number(version));
    const standing = [...versions].filter(([, { mayStandIn }]) => mayStandIn);
    return versions.get(Math.max(...(standing.length > 0 ? standing : [...versions]).map(([number]) => number)));
  }

  /** Ready versions of a model, newest first. */
  versions(model: string): readonly number[] {
    return [...(this.#models.get(model)?.keys() ?? [])].sort((a, b) => b - a);
  }

  names(): readonly string[] {
    return [...this.#models.keys()].sort();
  }

  async #read(): Promise<void> {
    const rows = await this.#modules.db
      .selectFrom('versions')
      .select(['model', 'version'])
      .where('state', '=', 'ready')
      .execute();
    for (const { model, version } of rows) {
      if (this.#models.get(model)?.has(version) === true) continue;
      const entry = await this.#entry(model, version);
      if (entry === undefined) continue;
      const versions = this.#models.get(model) ?? new Map<number, CatalogueEntry>();
      this.#models.set(model, versions.set(version, entry));
    }
  }

  async #entry(model: string, version: number): Promise<CatalogueEntry | undefined> {
    const variants = await this.#modules.registry.variants(model, version);
    const variant = variants.find((held) => held.variant === UNOPTIMISED);
    const yamlFile = variant?.manifest.files.find((file) => file.path === 'model.yaml');
    if (variant === undefined || yamlFile === undefined) {
      this.#modules.log.error({ model, version }, 'a ready version lacks its fp32 variant');
      return undefined;
    }
    const read = async (path: string): Promise<Uint8Array> => {
      const file = variant.manifest.files.find((held) => held.path === path);
      if (file === undefined) throw new Error(`the version has no file ${path}`);
      return this.#modules.content.read(file.digest);
    };
    const yaml = readModelYaml(new TextDecoder().decode(await read(yamlFile.path)));
    const evaluation = await this.#modules.evaluationOf(model, version);
    return { variant, yaml, labels: await classLabels(yaml, { read }), mayStandIn: evaluation?.passed !== false };
  }
}

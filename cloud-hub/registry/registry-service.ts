// The registry: what models, versions and variants there are, and what a device of some class should run. Reading here, publishing
// in publish.ts, everything after it in pipeline.ts.
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import type { Model, Version } from '@tidegate/shared/wire/admin-api.js';
import type { DeviceClass } from '@tidegate/shared/wire/device-class.js';
import type { Database } from '../storage/database.js';
import { chooseVariant } from './choose-variant.js';
import type { PackageFolders } from './package-folders.js';
import type { Pipeline } from './pipeline.js';
import { publishUpload, type OnNewVersion, type PublishModules } from './publish.js';
import type { Registry, StoredVariant } from './registry.js';
import { RegistryError } from './registry-error.js';
import { resolveSpec } from './resolve-spec.js';
import {
  listModels,
  listVersions,
  reportsOf,
  showVersion,
  storedVariants,
  versionRow,
  type VersionRow,
} from './version-rows.js';

interface RegistryModules extends PublishModules {
  readonly folders: PackageFolders;
  readonly pipeline: Pipeline;
}

export class RegistryService implements Registry {
  readonly #modules: RegistryModules;
  readonly #db: Database;
  readonly #content: ContentStore;

  constructor(modules: RegistryModules) {
    this.#modules = modules;
    this.#db = modules.db;
    this.#content = modules.content;
  }

  async version(model: string, spec: string): Promise<Version | undefined> {
    const rows = await this.#db.selectFrom('versions').selectAll().where('model', '=', model).execute();
    // A refused version's label is free for another; it can still be named by number or digest.
    const candidates = rows.map((row) => (row.state === 'refused' ? { ...row, label: null } : row));
    const found = resolveSpec(model, spec, candidates);
    return found === undefined ? undefined : this.#show(model, found.version);
  }

  /** The newest version that is ready. */
  async latest(model: string): Promise<Version | undefined> {
    const row = await this.#db
      .selectFrom('versions')
      .selectAll()
      .where('model', '=', model)
      .where('state', '=', 'ready')
      .orderBy('version', 'desc')
      .executeTakeFirst();
    return row === undefined ? undefined : showVersion(this.#db, row);
  }

  async models(query: { limit: number; afterName?: string; name?: string }): Promise<Model[]> {
    return listModels(this.#db, query);
  }

  async versions(query: { model: string; limit: number; beforeVersion?: number }): Promise<Version[]> {
    return listVersions(this.#db, query);
  }

  async publish(uploadId: string, actor: string, onNewVersion?: OnNewVersion): Promise<Version> {
    const row = await publishUpload(this.#modules, uploadId, actor, onNewVersion);
    this.#modules.pipeline.wake();
    return showVersion(this.#db, row);
  }

  async variants(model: string, version: number): Promise<readonly StoredVariant[]> {
    return storedVariants(this.#db, await this.#row(model, version));
  }

  async variantFor(model: string, version: number, deviceClass: DeviceClass | undefined): Promise<StoredVariant> {
    const row = await this.#row(model, version);
    if (row.state !== 'ready') {
      throw new RegistryError('conflict', `${model}@${version} is ${row.state}, not ready`, { field: 'version' });
    }
    const held = await storedVariants(this.#db, row);
    const name = chooseVariant(
      await reportsOf(this.#db, model, version),
      held.map(({ variant }) => variant),
      deviceClass,
    );
    const found = held.find(({ variant }) => variant === name);
    if (found === undefined) throw new RegistryError('not-found', `${model}@${version} has no variant ${name}`);
    return found;
  }

  blobPath(hex: string): string {
    return this.#content.path(`sha256:${hex}`);
  }

  async materialise(variant: StoredVariant): Promise<string> {
    return this.#modules.folders.folderOf(variant.variantDigest, variant.manifest.files);
  }

  async #row(model: string, version: number): Promise<VersionRow> {
    const row = await versionRow(this.#db, model, version);
    if (row === undefined) {
      throw new RegistryError('not-found', `no version ${version} of a model ${model}`, { field: 'version' });
    }
    return row;
  }

  async #show(model: string, version: number): Promise<Version> {
    return showVersion(this.#db, await this.#row(model, version));
  }
}

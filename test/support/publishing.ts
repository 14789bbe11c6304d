// A registry without a hub around it, over a real database and content store; checker, optimizer and signer are told what to do.
import { HubEvents } from '@tidegate/cloud-hub/hub-events.js';
import { PackageFolders } from '@tidegate/cloud-hub/registry/package-folders.js';
import type { NewTarget, PackageOptimizer } from '@tidegate/cloud-hub/registry/package-ports.js';
import { Pipeline } from '@tidegate/cloud-hub/registry/pipeline.js';
import { RegistryService } from '@tidegate/cloud-hub/registry/registry-service.js';
import { Uploads } from '@tidegate/cloud-hub/registry/uploads.js';
import { VariantShop } from '@tidegate/cloud-hub/registry/variant-shop.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { systemClock, type Clock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import type { LiveEvent, Version } from '@tidegate/shared/wire/admin-api.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { join } from 'node:path';

export interface Doing {
  check: (folder: string, signal: AbortSignal) => Promise<void>;
  optimize: PackageOptimizer['optimize'];
  sign: (targets: readonly NewTarget[]) => Promise<void>;
}

export interface Publishing {
  readonly db: Database;
  readonly content: ContentStore;
  readonly uploads: Uploads;
  readonly pipeline: Pipeline;
  readonly registry: RegistryService;
  readonly events: LiveEvent[];
  readonly targets: NewTarget[];
  /** What the checker and the others do; may be changed between publishes. */
  readonly doing: Doing;
  /** Uploads these texts as files and completes. */
  publish(
    model: string,
    files: Readonly<Record<string, string>>,
    options?: { allowUnknownLicence?: boolean },
  ): Promise<Version>;
  /** Waits for the background work, then shows the version. */
  settled(model: string, version: number): Promise<Version>;
}

export async function openPublishing(
  folder: string,
  database = ':memory:',
  clock: Clock = systemClock,
): Promise<Publishing> {
  const db = await openSqlite(database);
  const content = await ContentStore.open({ folder: join(folder, 'content') }, systemFiles);
  const folders = new PackageFolders(join(folder, 'packages'), content);
  const uploads = new Uploads(db, content, clock);
  const hubEvents = new HubEvents(silentLog);
  const events: LiveEvent[] = [];
  hubEvents.on((event) => events.push(event));
  const targets: NewTarget[] = [];
  const doing: Doing = {
    check: async () => undefined,
    optimize: async () => [],
    sign: async (added) => void targets.push(...added),
  };
  const variants = new VariantShop({
    db,
    folders,
    optimizer: { optimize: (...args) => doing.optimize(...args) },
    signer: { addTargets: (added) => doing.sign(added) },
    clock,
    log: silentLog,
    workRoot: join(folder, 'work'),
  });
  const checker = { check: (path: string, signal: AbortSignal) => doing.check(path, signal) };
  const pipeline = new Pipeline({ db, folders, checker, variants, events: hubEvents, clock, log: silentLog });
  const registry = new RegistryService({ db, content, uploads, clock, folders, pipeline });
  return {
    db,
    content,
    uploads,
    pipeline,
    registry,
    events,
    targets,
    doing,
    publish: async (model, files, { allowUnknownLicence = false } = {}) => {
      const entries = Object.entries(files).map(([path, text]) => ({
        path,
        sizeBytes: Buffer.byteLength(text),
        digest: sha256(text),
      }));
      const upload = await uploads.create({ model, files: entries, allowUnknownLicence }, 'token:ci');
      for (const text of Object.values(files)) await content.putBytes(Buffer.from(text));
      return registry.publish(upload.id, 'token:ci');
    },
    settled: async (model, version) => {
      await pipeline.idle();
      const found = await registry.version(model, String(version));
      if (found === undefined) throw new Error(`no ${model}@${version}`);
      return found;
    },
  };
}

/** A model.yaml whose fields can be replaced. */
export function yamlText(fields: Readonly<Record<string, string>> = {}): string {
  const all = {
    name: 'tiny',
    licence: 'MIT',
    inputs: '[{ name: x, datatype: FP32, shape: [1] }]',
    outputs: '[{ name: y, datatype: FP32, shape: [1] }]',
    pipeline: '[{ graph: m.onnx }]',
    ...fields,
  };
  return Object.entries(all)
    .map(([key, value]) => `${key}: ${value}\n`)
    .join('');
}

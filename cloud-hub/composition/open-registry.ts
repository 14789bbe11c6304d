// The registry with what it needs: uploads, the checks of a package, variants, signing, and the pipeline behind publishing.
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { serveModel } from '@tidegate/shared/serving/open-served-model.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { detectDeviceClass } from '@tidegate/shared/system/detect-device-class.js';
import { deviceClassName } from '@tidegate/shared/wire/device-class-name.js';
import { optimizePackage } from '../optimizer/optimize-package.js';
import { CheckPackage } from '../registry/check-package.js';
import type { PackageOptimizer } from '../registry/package-ports.js';
import { PackageFolders } from '../registry/package-folders.js';
import { Pipeline } from '../registry/pipeline.js';
import { RegistryService } from '../registry/registry-service.js';
import { UPLOAD_LIMITS, Uploads } from '../registry/uploads.js';
import { VariantShop } from '../registry/variant-shop.js';
import type { Closing } from './closing.js';
import { QUEUE_DEPTH, type Parts } from './parts.js';

const UPLOAD_SWEEP_MS = 3_600_000;

export interface RegistryParts {
  readonly registry: RegistryService;
  readonly uploads: Uploads;
  readonly pipeline: Pipeline;
}

export async function openRegistry(parts: Parts, closing: Closing): Promise<RegistryParts> {
  const { clock, files, log, settings, paths, db, content, tuf, events } = parts;
  const folders = new PackageFolders(paths.packages, content);
  await folders.removeUnfinished();
  const uploads = new Uploads(db, content, clock, { ...UPLOAD_LIMITS, packageBytes: settings.maxPackageSize });
  closing.add('uploads', sweepUploads(uploads, clock, log));
  const load = loadAsPublished(parts);
  const deviceClass = deviceClassName(await detectDeviceClass('cpu', files));
  const checker = new CheckPackage(load);
  const optimizer: PackageOptimizer = {
    optimize: (folder, work, signal, onProgress) =>
      optimizePackage(folder, work, { load, clock, deviceClass }, signal, onProgress),
  };
  const variants = new VariantShop({ db, folders, optimizer, signer: tuf, clock, log, workRoot: paths.work });
  const pipeline = new Pipeline({ db, folders, checker, variants, events, clock, log });
  closing.add('pipeline', () => pipeline.close());
  const registry = new RegistryService({ db, content, uploads, clock, folders, pipeline });
  return { registry, uploads, pipeline };
}

/** Loads a package that isn't a version yet, plainly: as devices run it, without what the hub does more. */
export function loadAsPublished({
  runtime,
  clock,
  settings,
}: Parts): (pack: ModelPackage, signal: AbortSignal) => Promise<ServedModel> {
  const options = {
    providers: ['cpu'] as const,
    intraOpThreads: settings.threads === 'auto' ? 1 : settings.threads,
    queueDepthMax: QUEUE_DEPTH,
    heavy: false,
  };
  return (pack, signal) => {
    const { yaml, versionDigest } = pack;
    const identity = { name: yaml.name, version: '0', versionDigest, variant: 'fp32', variantDigest: versionDigest };
    return serveModel(pack, identity, options, { runtime, inspect: inspectGraphFile, clock }, signal);
  };
}

/** Returns what ends it. */
function sweepUploads(uploads: Uploads, clock: Clock, log: Log): () => void {
  let cancel = (): void => undefined;
  const sweep = (): void => {
    uploads
      .removeExpired()
      .catch((cause: unknown) => log.error({ err: cause }, 'expired uploads could not be removed'))
      .finally(() => (cancel = clock.after(UPLOAD_SWEEP_MS, sweep)));
  };
  cancel = clock.after(UPLOAD_SWEEP_MS, sweep);
  return () => cancel();
}

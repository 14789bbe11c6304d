// The registry with what it needs: uploads, the checks of a package, variants, signing, and the pipeline behind publishing.
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { serveModel } from '@tidegate/shared/serving/served-model.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { CheckPackage } from '../registry/check-package.js';
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
  const { clock, log, settings, paths, db, runtime, content, tuf, events } = parts;
  const folders = new PackageFolders(paths.packages, content);
  await folders.removeUnfinished();
  const uploads = new Uploads(db, content, clock, { ...UPLOAD_LIMITS, packageBytes: settings.maxPackageSize });
  closing.add('uploads', sweepUploads(uploads, clock, log));
  const serving = { providers: ['cpu'] as const, intraOpThreads: settings.threads, queueDepthMax: QUEUE_DEPTH };
  const checker = new CheckPackage((pack, signal) => {
    const unpublished = `sha256:${'0'.repeat(64)}`;
    const identity = { name: pack.yaml.name, version: '0', versionDigest: pack.versionDigest, variant: 'fp32' };
    return serveModel(
      pack,
      { ...identity, variantDigest: unpublished },
      { ...serving, heavy: false },
      { runtime, inspect: inspectGraphFile, clock },
      signal,
    );
  });
  const variants = new VariantShop({
    db,
    folders,
    optimizer: { optimize: async () => [] },
    signer: tuf,
    clock,
    log,
    workRoot: paths.work,
  });
  const pipeline = new Pipeline({ db, folders, checker, variants, events, clock, log });
  closing.add('pipeline', () => pipeline.close());
  const registry = new RegistryService({ db, content, uploads, clock, folders, pipeline });
  return { registry, uploads, pipeline };
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

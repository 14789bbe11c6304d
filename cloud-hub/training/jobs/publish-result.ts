// From what a job's process made to a version: the package composed from the parent's (compose-package.ts), taken in by the registry's own
// way, so that it is checked, optimized, signed and gated as any other. A new version gets its origin in the transaction that makes it;
// content that is a version already stays that version, and keeps the origin that it has or hasn't. What ended in the middle is done again
// from the start, but not once the version is there (versionMadeBy in lineage-rows.ts): goldens that are computed anew may differ in
// their last bits, which would be another version.
import { join } from 'node:path';
import { hashFiles, listFiles } from '@tidegate/shared/package/list-files.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Version } from '@tidegate/shared/wire/admin-api.js';
import type { HubEvents } from '../../hub-events.js';
import type { PackageFolders } from '../../registry/package-folders.js';
import type { RegistryService } from '../../registry/registry-service.js';
import type { Uploads } from '../../registry/uploads.js';
import { insertOrigin } from '../lineage/lineage-rows.js';
import { composePackage } from './compose-package.js';
import { JobError } from './job-error.js';
import type { JobFolders } from './job-folders.js';
import type { JobRecord } from './job-store.js';
import type { RunPackage } from './renew-goldens.js';
import { folderOf } from './resolve-request.js';

export interface PublishResultModules {
  readonly registry: Pick<RegistryService, 'version' | 'variants' | 'materialise' | 'publish'>;
  readonly uploads: Pick<Uploads, 'create'>;
  readonly packages: Pick<PackageFolders, 'storeFolder'>;
  readonly jobs: JobFolders;
  readonly events: Pick<HubEvents, 'on'>;
  readonly files: Files;
  readonly clock: Clock;
  readonly run: RunPackage;
  /** The hub's version, for the origin. */
  readonly codeVersion: string;
}

/** The version as it is then: `validating`, or further where the content was one already. `job` has its evaluation. */
export async function publishResult(
  modules: PublishResultModules,
  job: JobRecord,
  signal: AbortSignal,
): Promise<Version> {
  const { registry, uploads, packages, jobs, codeVersion } = modules;
  const result = await jobs.readResult(job.id);
  const { evaluation } = job;
  if (result === undefined || evaluation === undefined) throw new JobError('conflict', 'what the job made is gone');
  const folder = join(jobs.of(job.id), 'package');
  const composition = {
    to: folder,
    parentFolder: await folderOf(modules, { model: job.model, version: job.parent }),
    graphFile: jobs.resultGraph(job.id),
    graph: result.graph,
    label: job.request.label,
  };
  await composePackage(composition, modules, signal);
  const files = await hashFiles(folder, await listFiles(folder), signal);
  const actor = `job:${job.id}`;
  // First: each attempt on a full disk would leave an open upload, of which there may be only so many.
  await packages.storeFolder(folder, files);
  // The parent stated its licence, or was taken without one: the same holds for what was made from it.
  const upload = await uploads.create({ model: job.model, files, allowUnknownLicence: true }, actor);
  return registry.publish(upload.id, actor, (trx, { version }) =>
    insertOrigin(trx, {
      model: job.model,
      version,
      job: job.id,
      parent: job.parent,
      parentDigest: job.parentDigest,
      datasets: job.datasets,
      parameters: job.request.parameters,
      codeVersion,
      evaluation,
    }),
  );
}

/** Waits until the version is ready or refused. Rejects with the signal's reason. */
export async function settledVersion(
  { registry, events }: Pick<PublishResultModules, 'registry' | 'events'>,
  { model, version }: { readonly model: string; readonly version: number },
  signal: AbortSignal,
): Promise<Version> {
  let changed = (): void => undefined;
  const stopListening = events.on((event) => {
    if (event.kind === 'version' && event.version.model === model && event.version.version === version) changed();
  });
  const onAbort = (): void => changed();
  signal.addEventListener('abort', onAbort);
  try {
    for (;;) {
      const next = new Promise<void>((resolve) => (changed = resolve));
      signal.throwIfAborted();
      const found = await registry.version(model, String(version));
      if (found === undefined) throw new JobError('not-found', `${model}@${version} is gone`);
      if (found.state === 'ready' || found.state === 'refused') return found;
      await next;
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    stopListening();
  }
}

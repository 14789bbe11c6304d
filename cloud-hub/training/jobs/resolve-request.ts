// From what was asked for to what exactly will run: the parent's number and digest, the versions of datasets and slices with their
// digests, what was left out filled in. All that can be wrong with a request is found here, before anything is queued.
import type { Version } from '@tidegate/shared/wire/admin-api.js';
import type { CreateJob } from '@tidegate/shared/wire/training-api.js';
import { UNOPTIMISED } from '../../registry/choose-variant.js';
import type { Registry } from '../../registry/registry.js';
import { labelProblem } from '../../registry/resolve-spec.js';
import type { Database } from '../../storage/database.js';
import { checkTrainable } from './check-trainable.js';
import { JobError } from './job-error.js';
import type { JobRequest, PinnedDataset } from './job-store.js';

const MEMORY_MIN_BYTES = 64 * 1024 * 1024;

export interface RequestDefaults {
  readonly threads: number;
  readonly memoryLimitBytes: number;
}

interface ResolveModules {
  readonly db: Database;
  readonly registry: Pick<Registry, 'version' | 'variants' | 'materialise'>;
}

interface ResolvedRequest {
  readonly request: JobRequest;
  readonly parent: Version;
  readonly datasets: readonly PinnedDataset[];
  readonly slices: readonly PinnedDataset[];
}

/** Rejects with JobError, or with the registry's own for a digest that fits several versions. */
export async function resolveRequest(
  modules: ResolveModules,
  asked: CreateJob,
  defaults: RequestDefaults,
): Promise<ResolvedRequest> {
  const parent = await readyParent(modules, asked);
  await checkLabel(modules, asked);
  const datasets = await pinAll(modules.db, asked.model, asked.datasets, 'datasets');
  const slices = await pinAll(modules.db, asked.model, asked.slices, 'slices');
  for (const [at, dataset] of datasets.entries()) {
    if (dataset.trainCount > 0) continue;
    throw new JobError('invalid', `${dataset.spec} has no sample to train on`, { field: `datasets/${at}` });
  }
  for (const [at, slice] of slices.entries()) {
    if (slice.heldOutCount > 0) continue;
    throw new JobError('invalid', `${slice.spec} holds no sample out, so it can judge nothing`, {
      field: `slices/${at}`,
    });
  }
  if (slices.length === 0 && datasets.every(({ heldOutCount }) => heldOutCount === 0)) {
    throw new JobError(
      'invalid',
      'no dataset holds a sample out, so nothing can say whether the result is better: name a slice, or freeze the dataset with a held-out share',
      { field: 'datasets' },
    );
  }
  await checkTrainable(await folderOf(modules, parent), asked.graph, asked.parameters);
  const request: JobRequest = {
    ...asked,
    parent: String(parent.version),
    datasets: datasets.map(({ spec }) => spec),
    slices: slices.map(({ spec }) => spec),
    threads: asked.threads ?? defaults.threads,
    memoryLimitBytes: asked.memoryLimitBytes ?? Math.max(MEMORY_MIN_BYTES, defaults.memoryLimitBytes),
  };
  return { request, parent, datasets: datasets.map(pinOf), slices: slices.map(pinOf) };
}

/** A folder with the files of a version as it was published; nobody writes there. */
export async function folderOf(
  { registry }: Pick<ResolveModules, 'registry'>,
  { model, version }: { readonly model: string; readonly version: number },
): Promise<string> {
  const fp32 = (await registry.variants(model, version)).find(({ variant }) => variant === UNOPTIMISED);
  if (fp32 === undefined) throw new JobError('conflict', `${model}@${version} lacks its files`, { field: 'parent' });
  return registry.materialise(fp32);
}

async function readyParent({ db, registry }: ResolveModules, { model, parent }: CreateJob): Promise<Version> {
  const known = await db.selectFrom('models').select('name').where('name', '=', model).executeTakeFirst();
  if (known === undefined) throw new JobError('not-found', `no model ${model}`, { field: 'model' });
  const version = await registry.version(model, parent);
  if (version === undefined) throw new JobError('not-found', `no version ${model}@${parent}`, { field: 'parent' });
  if (version.state !== 'ready') {
    throw new JobError('conflict', `${model}@${version.version} is ${version.state}, not ready`, { field: 'parent' });
  }
  return version;
}

/** Publishing looks again; by then hours of training would be lost. */
async function checkLabel({ registry }: ResolveModules, { model, label }: CreateJob): Promise<void> {
  if (label === undefined) return;
  const problem = labelProblem(label);
  if (problem !== undefined) throw new JobError('invalid', problem, { field: 'label' });
  const holder = await registry.version(model, label);
  if (holder?.label !== label) return;
  throw new JobError('conflict', `the label ${label} already names ${model}@${holder.version}`, { field: 'label' });
}

interface FoundDataset extends PinnedDataset {
  readonly trainCount: number;
  readonly heldOutCount: number;
}

const pinOf = ({ spec, digest }: FoundDataset): PinnedDataset => ({ spec, digest });

async function pinAll(
  db: Database,
  model: string,
  specs: readonly string[],
  field: 'datasets' | 'slices',
): Promise<FoundDataset[]> {
  const found: FoundDataset[] = [];
  for (const [at, spec] of specs.entries()) {
    const dataset = await pin(db, model, spec, `${field}/${at}`);
    if (found.some((other) => other.spec === dataset.spec)) {
      throw new JobError('invalid', `${dataset.spec} is named twice`, { field: `${field}/${at}` });
    }
    found.push(dataset);
  }
  return found;
}

async function pin(db: Database, model: string, spec: string, field: string): Promise<FoundDataset> {
  const [name = '', number] = spec.split('@');
  let select = db.selectFrom('dataset_versions').selectAll().where('name', '=', name).where('deleted_at', 'is', null);
  if (number !== undefined) select = select.where('version', '=', Number(number));
  const row = await select.orderBy('version', 'desc').executeTakeFirst();
  if (row === undefined) throw new JobError('not-found', `no dataset ${spec}`, { field });
  if (row.model !== model) {
    throw new JobError('invalid', `${name}@${row.version} holds samples of ${row.model}, not of ${model}`, { field });
  }
  return {
    spec: `${name}@${row.version}`,
    digest: row.digest,
    trainCount: row.train_count,
    heldOutCount: row.held_out_count,
  };
}

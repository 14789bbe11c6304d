// Lineage as a graph: a version, the job that made it, what that job read, and so on back through its parents to versions that somebody
// published. Samples are grouped by the device that captured them or the import that brought them, with their counts.
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import { datasetManifestSchema } from '@tidegate/shared/wire/data-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { Evaluation, Lineage } from '@tidegate/shared/wire/training-api.js';
import { versionRow } from '../../registry/version-rows.js';
import type { Database } from '../../storage/database.js';
import { findJob } from '../jobs/job-store.js';
import { findOrigin, type Origin } from './lineage-rows.js';

/** A chain of trainings that is longer is cut there. */
const LIMIT_VERSIONS = 100;
/** Of the manifest; about 100,000 samples. Larger datasets are counted, but not broken down by device. */
const LIMIT_MANIFEST_BYTES = 32 * 1024 * 1024;
const QUERY_IDS = 500;

interface LineageModules {
  readonly db: Database;
  readonly content: Pick<ContentStore, 'sizeBytes' | 'read'>;
}

type Node = Lineage['nodes'][number];

class Drawing {
  readonly nodes = new Map<string, Node>();
  readonly #edges = new Map<string, Lineage['edges'][number]>();

  /** False where it is there already. */
  add(node: Node): boolean {
    if (this.nodes.has(node.id)) return false;
    this.nodes.set(node.id, node);
    return true;
  }

  connect(from: string, to: string): void {
    this.#edges.set(`${from} ${to}`, { from, to });
  }

  get lineage(): Lineage {
    return { nodes: [...this.nodes.values()], edges: [...this.#edges.values()] };
  }
}

/** The version asked for comes first. A version that nobody trained is a graph of one node. */
export async function traceLineage(modules: LineageModules, model: string, version: number): Promise<Lineage> {
  const drawing = new Drawing();
  let next: number | undefined = version;
  for (let count = 0; next !== undefined && count < LIMIT_VERSIONS; count += 1) {
    const origin: Origin | undefined = await findOrigin(modules.db, model, next);
    if (!(await addVersion(modules.db, drawing, model, next, origin)) || origin === undefined) break;
    await addJob(modules, drawing, origin);
    next = origin.parent;
  }
  return drawing.lineage;
}

const versionId = (model: string, version: number): string => `version:${model}@${version}`;

async function addVersion(
  db: Database,
  drawing: Drawing,
  model: string,
  version: number,
  origin: Origin | undefined,
): Promise<boolean> {
  const row = await versionRow(db, model, version);
  return drawing.add({
    id: versionId(model, version),
    kind: 'version',
    title: `${model}@${version}`,
    facts: {
      ...(row === undefined
        ? {}
        : {
            ...(row.label === null ? {} : { label: row.label }),
            digest: row.digest,
            state: row.state,
            createdAt: row.created_at,
          }),
      ...(origin === undefined
        ? { origin: 'published' }
        : { origin: `job ${origin.job}`, evaluation: origin.evaluation.passed ? 'passed' : 'failed' }),
    },
  });
}

async function addJob(modules: LineageModules, drawing: Drawing, origin: Origin): Promise<void> {
  const { parameters, evaluation } = origin;
  const job = await findJob(modules.db, origin.job);
  const id = `job:${origin.job}`;
  drawing.add({
    id,
    kind: 'job',
    title: origin.job,
    facts: {
      optimizer: parameters.optimizer,
      learningRate: parameters.learningRate,
      epochs: parameters.epochs,
      batchSize: parameters.batchSize,
      seed: parameters.seed,
      start: parameters.fromScratch ? 'random weights' : `weights of version ${origin.parent}`,
      code: origin.codeVersion,
      ...(job === undefined ? {} : { createdBy: job.createdBy, createdAt: job.createdAt }),
      ...metricFacts(evaluation),
      evaluation: evaluation.reason,
    },
  });
  drawing.connect(id, versionId(origin.model, origin.version));
  drawing.connect(versionId(origin.model, origin.parent), id);
  for (const source of origin.datasets) await addDataset(modules, drawing, source, id, 'trained on');
  for (const source of job?.slices ?? []) await addDataset(modules, drawing, source, id, 'judged by');
}

function metricFacts({ sets }: Evaluation): Record<string, string> {
  const round = (value: number): string => String(Number(value.toPrecision(4)));
  return Object.fromEntries(
    sets.map(({ dataset, role, metric, parent, result }) => [
      `${metric} ${role} ${dataset}`,
      `${round(parent)} -> ${round(result)}`,
    ]),
  );
}

async function addDataset(
  { db, content }: LineageModules,
  drawing: Drawing,
  { spec, digest }: Origin['datasets'][number],
  job: string,
  use: string,
): Promise<void> {
  const id = `dataset:${spec}`;
  drawing.connect(id, job);
  const [name = '', version] = spec.split('@');
  const row = await db
    .selectFrom('dataset_versions')
    .selectAll()
    .where('name', '=', name)
    .where('version', '=', Number(version))
    .executeTakeFirst();
  const counts = row === undefined ? {} : { from: row.query, train: row.train_count, 'held-out': row.held_out_count };
  const deleted = row?.deleted_at == null ? {} : { deleted: row.deleted_at };
  if (!drawing.add({ id, kind: 'dataset', title: spec, facts: { use, digest, ...counts, ...deleted } })) return;
  for (const { source, count } of await groupsOf({ db, content }, digest)) {
    const samples = `samples:${spec}/${source.id}`;
    drawing.add({ id: samples, kind: 'samples', title: source.title, facts: { ...source.facts, count } });
    drawing.connect(samples, id);
  }
}

interface Group {
  readonly source: { readonly id: string; readonly title: string; readonly facts: Readonly<Record<string, string>> };
  readonly count: number;
}

/** Largest first. */
async function groupsOf({ db, content }: LineageModules, digest: Digest): Promise<Group[]> {
  const sizeBytes = await content.sizeBytes(digest);
  if (sizeBytes === undefined || sizeBytes > LIMIT_MANIFEST_BYTES) return [];
  const text = new TextDecoder().decode(await content.read(digest));
  const ids = datasetManifestSchema.parse(JSON.parse(text)).items.map((item) => item.id);
  const counts = new Map<string, Group>();
  const add = (source: Group['source'], count: number): void => {
    counts.set(source.id, { source, count: count + (counts.get(source.id)?.count ?? 0) });
  };
  let found = 0;
  for (let at = 0; at < ids.length; at += QUERY_IDS) {
    for (const row of await sourcesOf(db, ids.slice(at, at + QUERY_IDS))) {
      add(sourceOf(row), Number(row.count));
      found += Number(row.count);
    }
  }
  if (found < ids.length) add({ id: 'unknown', title: 'samples of unknown origin', facts: {} }, ids.length - found);
  return [...counts.values()].sort((a, b) => b.count - a.count);
}

async function sourcesOf(db: Database, ids: readonly Digest[]) {
  return db
    .selectFrom('samples')
    .leftJoin('devices', 'devices.id', 'samples.device_id')
    .select(({ fn }) => ['samples.device_id', 'devices.name', 'samples.batch', fn.countAll<number>().as('count')])
    .where('samples.id', 'in', ids)
    .groupBy(['samples.device_id', 'devices.name', 'samples.batch'])
    .execute();
}

function sourceOf(row: {
  readonly device_id: string | null;
  readonly name: string | null;
  readonly batch: string | null;
}): Group['source'] {
  if (row.device_id !== null) {
    const title = `captured by ${row.name ?? row.device_id}`;
    return { id: row.device_id, title, facts: { device: row.device_id } };
  }
  if (row.batch !== null) return { id: row.batch, title: `imported as ${row.batch}`, facts: { batch: row.batch } };
  return { id: 'unknown', title: 'samples of unknown origin', facts: {} };
}

// Datasets: named series of immutable versions, each frozen from samples. A version is made once for what it holds: freezing the same
// samples with the same labels and the same split again gives the newest version back.
//
// Invariants: one freeze at a time, so memory holds one shard and two equal requests make one version; the row, its audit row and the
// labels that an import gives are one transaction, after all files are in the store; so a row never lacks a file, whenever the hub ends.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Transaction } from 'kysely';
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import {
  LIMIT_DATASET_ITEMS,
  type createDatasetSchema,
  type DatasetDiff,
  type DatasetItem,
  type DatasetManifest,
  type DatasetVersion,
  type importDatasetSchema,
} from '@tidegate/shared/wire/data-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { z } from 'zod';
import type { HubEvents } from '../hub-events.js';
import type { RecordAudit } from '../security/audit.js';
import type { Database, Tables } from '../storage/database.js';
import { DataError } from './data-error.js';
import { chooseItems, type Candidate, type ChosenItem } from './dataset-choice.js';
import { diffItems } from './dataset-diff.js';
import { freezeDataset } from './dataset-freeze.js';
import { chooseImported, labelImported, readImported } from './imported-items.js';
import { removeDataset } from './dataset-removal.js';
import { readManifest } from './dataset-manifest.js';
import {
  datasetRow,
  listDatasets,
  listDatasetVersions,
  newestDataset,
  nextDatasetVersion,
  showDataset,
  type DatasetRow,
} from './dataset-rows.js';
import { selectSamples, showSample } from './sample-rows.js';
import { parseSampleQuery, printSampleQuery, type SampleQuery } from './sample-query.js';
import { whereSamples } from './sample-where.js';

/** Most that one hub keeps. */
const DATASET_LIMITS = { items: LIMIT_DATASET_ITEMS, versions: 10_000, bytes: 256 * 1024 ** 3 } as const;
/** Rows of samples that are looked at at once. */
const ROWS_AT_ONCE = 5000;
/** Relabelled samples that are told of; an import of more is seen when the page is loaded again. */
const LIMIT_TOLD = 500;
/** Freezes that may wait for the one that runs. */
const LIMIT_WAITING = 16;
/** Manifests up to this size are kept parsed, the last one asked for: its pages are asked for one after the other. */
const LIMIT_KEPT_MANIFEST_BYTES = 16 * 1024 * 1024;

interface DatasetModules {
  readonly db: Database;
  readonly content: ContentStore;
  readonly files: Files;
  readonly events: HubEvents;
  readonly clock: Clock;
  readonly audit: RecordAudit;
  readonly limits?: { readonly items: number; readonly versions: number; readonly bytes: number };
  readonly rowsAtOnce?: number;
}

type CreateDataset = z.infer<typeof createDatasetSchema>;
type ImportDataset = z.infer<typeof importDatasetSchema>;

interface NewVersion {
  readonly name: string;
  readonly model: string;
  readonly from: string;
  readonly heldOut: number;
  readonly items: readonly ChosenItem[];
  readonly unlabelled: number;
  readonly contradicted: number;
}

export interface MadeDataset {
  readonly version: DatasetVersion;
  /** False where the newest version is that already. */
  readonly added: boolean;
}

export class DatasetService {
  readonly #m: DatasetModules;
  readonly #limits: NonNullable<DatasetModules['limits']>;
  readonly #closing = new AbortController();
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #kept: { readonly digest: Digest; readonly manifest: DatasetManifest } | undefined;

  constructor(modules: DatasetModules) {
    this.#m = modules;
    this.#limits = modules.limits ?? DATASET_LIMITS;
  }

  /** Ends the freeze that runs, whose files are removed. */
  async close(): Promise<void> {
    this.#closing.abort(new DataError('busy', 'the hub is stopping'));
    await this.#turn;
  }

  /**
   * Freezes the labelled samples that the query picks. Rejects with DataError `invalid` (field `from`: the query is wrong or picks
   * nothing that is labelled, samples of several models or too many), `conflict` (the dataset is another model's), `full`, `no-space`
   * or `busy`; nothing is kept then.
   */
  async create(request: CreateDataset, actor: string): Promise<MadeDataset> {
    const { name, heldOut, model } = request;
    const asked = parseSampleQuery(request.from, 'from', this.#m.clock.nowMs());
    const query: SampleQuery =
      model === undefined
        ? asked
        : { kind: 'and', parts: [{ kind: 'text', field: 'model', operator: '=', pieces: [model] }, asked] };
    return this.#exclusive(async () => {
      const { rows, unlabelled } = await this.#labelled(query);
      const models = [...new Set(rows.map((row) => row.model))].sort();
      checkPicked(rows.length, unlabelled, models);
      const made = { name, model: models[0] ?? '', from: printSampleQuery(query), heldOut, unlabelled };
      return this.#add({ ...made, ...chooseItems(rows, heldOut) }, actor);
    });
  }

  /**
   * Freezes exactly these samples, which the hub has, under exactly these labels; they become the samples' own. Rejects with DataError
   * `not-found` (field `items`: a sample that was not sent), `invalid`, or as create.
   */
  async import(name: string, request: ImportDataset, actor: string): Promise<MadeDataset> {
    const { model, heldOut } = request;
    return this.#exclusive(async () => {
      const held = await readImported(this.#m.db, model, request.items);
      const items = chooseImported(request.items, held, heldOut);
      if (items.length > this.#limits.items) throw tooMany(this.#limits.items, 'items');
      const made = { name, model, from: `import ${name}`, heldOut, items, unlabelled: 0, contradicted: 0 };
      return this.#add(made, actor, (trx) => labelImported(trx, request.items, held));
    });
  }

  /** For good; its number is never given again. Rejects with DataError `not-found`, or `conflict` while a job uses it. */
  async delete(name: string, version: string, actor: string): Promise<void> {
    return this.#exclusive(async () => removeDataset(this.#m, await datasetRow(this.#m.db, name, version), actor));
  }

  /** `version`: a number or `latest`. Rejects with DataError `not-found`. */
  async get(name: string, version: string): Promise<DatasetVersion> {
    return showDataset(await datasetRow(this.#m.db, name, version));
  }

  /** The newest version of each dataset, by name. */
  async list(query: { readonly limit: number; readonly afterName?: string | undefined }): Promise<DatasetVersion[]> {
    return (await listDatasets(this.#m.db, query)).map(showDataset);
  }

  /** Newest first. Rejects with DataError `not-found` for a dataset that there isn't. */
  async versions(query: {
    readonly name: string;
    readonly limit: number;
    readonly beforeVersion?: number | undefined;
  }): Promise<DatasetVersion[]> {
    await datasetRow(this.#m.db, query.name, 'latest');
    return (await listDatasetVersions(this.#m.db, query)).map(showDataset);
  }

  /** By id. Rejects as get, and where the manifest is damaged. */
  async items(
    name: string,
    version: string,
    query: { readonly limit: number; readonly afterId?: Digest | undefined },
  ): Promise<DatasetItem[]> {
    const { items } = await this.#manifest(await datasetRow(this.#m.db, name, version));
    const { afterId } = query;
    const first = afterId === undefined ? 0 : items.findIndex(({ id }) => id > afterId);
    return first < 0 ? [] : items.slice(first, first + query.limit);
  }

  /** From version to version, each a number or `latest`. Rejects as items. */
  async diff(name: string, from: string, to: string): Promise<DatasetDiff> {
    const [before, after] = [await datasetRow(this.#m.db, name, from), await datasetRow(this.#m.db, name, to)];
    const changes = diffItems((await this.#manifest(before)).items, (await this.#manifest(after)).items);
    return { from: `${name}@${before.version}`, to: `${name}@${after.version}`, ...changes };
  }

  /** The manifest's own bytes. Rejects as get. */
  async manifestBytes(name: string, version: string): Promise<Uint8Array> {
    const { digest } = await datasetRow(this.#m.db, name, version);
    return this.#m.files.read('dataset.manifest', this.#m.content.path(digest));
  }

  /** A shard's bytes, by its place in the manifest. Rejects as items, and with DataError `not-found` (field `shard`). */
  async shard(name: string, version: string, at: number): Promise<{ sizeBytes: number; data: NodeJS.ReadableStream }> {
    const { shards } = await this.#manifest(await datasetRow(this.#m.db, name, version));
    const shard = shards[at];
    if (shard === undefined) {
      throw new DataError('not-found', `no shard ${at} of ${name}@${version}; it has ${shards.length}`, {
        field: 'shard',
      });
    }
    return { sizeBytes: shard.sizeBytes, data: await this.#m.content.stream(shard.digest) };
  }

  /**
   * The labelled samples that the query picks, by id, and how many it picks besides; rejected ones are not spoken of. The database
   * answers on the hub's own thread, so it looks at no more than so many rows at once, however few of them are picked, and lets
   * others have their turn in between.
   */
  async #labelled(query: SampleQuery): Promise<{ rows: readonly LabelledRow[]; unlabelled: number }> {
    const rows: LabelledRow[] = [];
    let unlabelled = 0;
    const rowsAtOnce = this.#m.rowsAtOnce ?? ROWS_AT_ONCE;
    let next: string | undefined = '';
    while (next !== undefined) {
      const after: string = next;
      const all = this.#m.db.selectFrom('samples').where('id', '>', after).orderBy('id');
      const last = all.select('id').offset(rowsAtOnce - 1);
      next = (await last.limit(1).executeTakeFirst())?.id;
      const picked = await this.#m.db
        .selectFrom(all.selectAll().limit(rowsAtOnce).as('samples'))
        .where(whereSamples(query))
        .select(['id', 'model', 'state', 'label', 'inputs_digest', 'size_bytes', 'received_at_ms'])
        .where('state', 'in', ['labelled', 'new'])
        .orderBy('id')
        .execute();
      for (const {
        state,
        label,
        inputs_digest: inputsDigest,
        size_bytes: sizeBytes,
        received_at_ms,
        ...row
      } of picked) {
        if (state === 'new') unlabelled += 1;
        else if (label !== null) rows.push({ ...row, label, inputsDigest, sizeBytes, receivedAtMs: received_at_ms });
      }
      if (rows.length > this.#limits.items) throw tooMany(this.#limits.items, 'from');
      await nextTurn();
    }
    return { rows, unlabelled };
  }

  async #add(
    made: NewVersion,
    actor: string,
    relabel: (trx: Transaction<Tables>) => Promise<readonly Digest[]> = () => Promise.resolve([]),
  ): Promise<MadeDataset> {
    const { db, content, clock, audit, events } = this.#m;
    const newest = await newestDataset(db, made.name);
    if (newest !== undefined && newest.model !== made.model) {
      throw new DataError('conflict', `the dataset ${made.name} is of the model ${newest.model}, not ${made.model}`, {
        field: 'name',
      });
    }
    const subject = (version: number): string => `dataset:${made.name}@${version}`;
    if (newest !== undefined && (await this.#holds(newest, made))) {
      const changed = await db.transaction().execute(async (trx) => {
        const relabelled = await relabel(trx);
        const entry = { actor, action: 'dataset.relabel', subject: subject(newest.version) };
        if (relabelled.length === 0) return relabelled;
        await audit(trx, { ...entry, detail: { relabelled: relabelled.length } }, clock.nowMs());
        return relabelled;
      });
      await this.#tell(changed);
      return { version: showDataset(newest), added: false };
    }
    await this.#requireRoom(made);
    const frozen = await freezeDataset(made, { content }, this.#closing.signal);
    const row = rowOf(made, await nextDatasetVersion(db, made.name), frozen, new Date(clock.nowMs()).toISOString());
    const changed = await db
      .transaction()
      .execute(async (trx) => {
        await trx.insertInto('dataset_versions').values(row).execute();
        const relabelled = await relabel(trx);
        const { digest, count, query, held_out: heldOut } = row;
        const detail = { digest, count, from: query, heldOut, relabelled: relabelled.length };
        await audit(trx, { actor, action: 'dataset.create', subject: subject(row.version), detail }, clock.nowMs());
        return relabelled;
      })
      .catch(async (cause: unknown) => {
        for (const digest of frozen.added) await content.remove(digest);
        throw cause;
      });
    const version = showDataset(row);
    events.emit({ kind: 'dataset', dataset: version });
    await this.#tell(changed);
    return { version, added: true };
  }

  async #tell(relabelled: readonly Digest[]): Promise<void> {
    const ids = relabelled.slice(0, LIMIT_TOLD);
    if (ids.length === 0) return;
    const rows = await selectSamples(this.#m.db).where('samples.id', 'in', ids).execute();
    for (const row of rows) this.#m.events.emit({ kind: 'sample', sample: showSample(row) });
  }

  /** Is this what the version holds already? */
  async #holds(row: DatasetRow, made: NewVersion): Promise<boolean> {
    if (row.held_out !== made.heldOut || row.count !== made.items.length) return false;
    const { items } = await this.#manifest(row);
    return made.items.every(({ id, label, split }, at) => {
      const other = items[at];
      return other?.id === id && other.label === label && other.split === split;
    });
  }

  async #requireRoom({ items }: NewVersion): Promise<void> {
    const { count, bytes } = await this.#m.db
      .selectFrom('dataset_versions')
      .select(({ fn }) => [fn.countAll<number>().as('count'), fn.sum<number | null>('size_bytes').as('bytes')])
      .where('deleted_at', 'is', null)
      .executeTakeFirstOrThrow();
    const needed = items.reduce((sum, { sizeBytes }) => sum + sizeBytes, Number(bytes ?? 0));
    if (Number(count) < this.#limits.versions && needed <= this.#limits.bytes) return;
    const { versions, bytes: limitBytes } = this.#limits;
    throw new DataError('full', `the hub keeps at most ${versions} dataset versions of ${limitBytes} bytes together`);
  }

  async #manifest({ digest, manifest_bytes }: DatasetRow): Promise<DatasetManifest> {
    if (this.#kept?.digest === digest) return this.#kept.manifest;
    const { files, content } = this.#m;
    const manifest = await readManifest(digest, { files, pathOf: (of) => content.path(of) });
    if (manifest_bytes <= LIMIT_KEPT_MANIFEST_BYTES) this.#kept = { digest, manifest };
    return manifest;
  }

  async #exclusive<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= LIMIT_WAITING) throw new DataError('busy', 'other datasets are being made; try again later');
    this.#waiting += 1;
    const made = this.#turn
      .then(() => this.#closing.signal.throwIfAborted())
      .then(work)
      .finally(() => (this.#waiting -= 1));
    this.#turn = made.catch(() => undefined); // the caller hears it
    return made;
  }
}

type LabelledRow = Candidate & { readonly model: string };

/** Throws DataError `invalid` for a query from which no dataset can be made. */
function checkPicked(labelled: number, unlabelled: number, models: readonly string[]): void {
  const wrong = (message: string): DataError => new DataError('invalid', message, { field: 'from' });
  if (labelled === 0 && unlabelled === 0) throw wrong('no sample is picked by this query');
  if (labelled === 0) {
    throw wrong(`the query picks ${unlabelled} samples, but all ${unlabelled} are unlabelled; label some first`);
  }
  if (models.length > 1) {
    throw wrong(`picks samples of several models (${models.join(', ')}); say which: model=${models[0]} and ...`);
  }
}

type FrozenFacts = Pick<Awaited<ReturnType<typeof freezeDataset>>, 'digest' | 'manifestBytes' | 'sizeBytes'>;

function rowOf(made: NewVersion, version: number, frozen: FrozenFacts, createdAt: string): DatasetRow {
  const { items } = made;
  const train = items.filter(({ split }) => split === 'train').length;
  const counts = new Map<string, number>();
  for (const { label } of items) counts.set(label, (counts.get(label) ?? 0) + 1);
  const labels = [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    name: made.name,
    version,
    digest: frozen.digest,
    model: made.model,
    query: made.from,
    held_out: made.heldOut,
    manifest_bytes: frozen.manifestBytes,
    count: items.length,
    train_count: train,
    held_out_count: items.length - train,
    unlabelled: made.unlabelled,
    contradicted: made.contradicted,
    labels: JSON.stringify(Object.fromEntries(labels)),
    size_bytes: frozen.sizeBytes,
    created_at: createdAt,
    deleted_at: null,
  };
}

function tooMany(limit: number, field: string): DataError {
  return new DataError('invalid', `a dataset holds at most ${limit} samples; pick fewer`, { field });
}

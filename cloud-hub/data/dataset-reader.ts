// Reads frozen datasets for training: sample bodies from shards, prepared by the package's own steps (shared/training), stacked into
// batches. The caller says which items and in which order, so that a training run is repeatable; this reads ahead while the caller
// computes, keeps prepared rows in memory as far as they fit, and measures how long the caller had to wait.
//
// Invariants: no byte of a shard is used before its digest was held against it; one batch is put together at a time, so open files and
// memory stay bounded; a sample whose inputs any of the datasets holds out is never in `train`.
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import { inParallel } from '@tidegate/shared/system/in-parallel.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { openPreparation, type InputPreparation } from '@tidegate/shared/training/prepare-inputs.js';
import type { Split } from '@tidegate/shared/wire/data-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { decodeSample, SampleError } from '@tidegate/shared/wire/sample.js';
import { DataError } from './data-error.js';
import { readManifests, type ListedItem } from './dataset-items.js';
import { classReader, findClasses, numberReader, stackLabels, type ClassNames } from './label-targets.js';
import { PreparedRows } from './prepared-rows.js';
import { ReaderMeter, type ReaderStats } from './reader-meter.js';
import { ShardFiles } from './shard-files.js';
import { stackRows } from './stack-rows.js';

/** Rows of a batch that are read and prepared at once. */
const ROWS_AT_ONCE = 8;

export interface DatasetReaderOptions {
  /** Digests of the datasets' manifests. A sample that stands in several is taken once, with the label of the last. */
  readonly manifests: readonly Digest[];
  /** Datasets that are not read, but whose held-out samples must not be in `train` either: the slices of a job. */
  readonly holdingOut?: readonly Digest[];
  /** Which graph is trained; needed only where the package has several. */
  readonly graph?: string;
  readonly loss: 'cross-entropy' | 'mse';
  /** Prepared rows that are kept in memory. Default 256 MiB. */
  readonly cacheBytes?: number;
  /** Batches that `batches` reads ahead. Default 4. */
  readonly prefetchBatches?: number;
  /** And their bytes together; one is always read ahead. Default 64 MiB. */
  readonly prefetchBytes?: number;
}

interface DatasetReaderModules {
  /** The package whose steps prepare the inputs: the parent version's. */
  readonly pack: ModelPackage;
  /** The hub's content store, or whatever knows where blobs lie. */
  readonly content: { path(digest: Digest): string };
  readonly files: Files;
  readonly clock: Clock;
}

export interface Batch {
  /** By the graph's inputs, each [N, ...]. */
  readonly feeds: readonly NamedTensor[];
  /** `labels`: INT64 [N] classes for cross-entropy, FP32 [N, K] for mse. */
  readonly labels: NamedTensor;
  /** N. */
  readonly count: number;
  /** The samples' digests, in the order asked for. */
  readonly ids: readonly Digest[];
}

export interface DatasetReader {
  readonly counts: Readonly<Record<Split, number>>;
  /** Of cross-entropy, where the package or the graph says how many. */
  readonly classes: number | undefined;
  /** Names of the classes, and which output of the graph holds their scores. */
  readonly classNames: ClassNames;
  readonly preparation: InputPreparation;
  /** The digest of an item, by its index. Items stand in the manifests' order. */
  idOf(split: Split, index: number): Digest;
  /**
   * One batch, in the order of `indexes`. Rejects with DataError `invalid` that names the sample (damaged, shapes that differ), with
   * RangeError for an index that there isn't, or with the signal's reason.
   */
  batch(split: Split, indexes: readonly number[], signal: AbortSignal): Promise<Batch>;
  /** The batches of `order`, read ahead while the caller works on the one before. Ends the reading when the caller leaves. */
  batches(split: Split, order: Iterable<readonly number[]>, signal: AbortSignal): AsyncGenerator<Batch, void, void>;
  stats(): ReaderStats;
  close(): Promise<void>;
}

/**
 * Reads the manifests, prepares the steps and looks at every label. Rejects with DataError `not-found` or `invalid`, or with
 * PackageError for a package whose graph can't be fed by steps alone.
 */
export async function openDatasetReader(
  options: DatasetReaderOptions,
  modules: DatasetReaderModules,
): Promise<DatasetReader> {
  const { pack, content, files, clock } = modules;
  const preparation = await openPreparation(pack, options.graph);
  const classNames = await findClasses(pack, preparation);
  const pathOf = (digest: Digest): string => content.path(digest);
  const items = await readManifests(options.manifests, { files, pathOf }, options.holdingOut);
  const readLabel = options.loss === 'cross-entropy' ? classReader(classNames) : numberReader();
  const targets = new Map(items.map(({ id, label }) => [id, readLabel(label, id)]));
  const shards = new ShardFiles({ files, pathOf });
  return new ShardedReader({ options, preparation, classNames, items, targets, shards, clock });
}

interface ReaderParts {
  readonly options: DatasetReaderOptions;
  readonly preparation: InputPreparation;
  readonly classNames: ClassNames;
  readonly items: readonly ListedItem[];
  readonly targets: ReadonlyMap<Digest, readonly number[]>;
  readonly shards: ShardFiles;
  readonly clock: Clock;
}

interface Ahead {
  readonly batch: Promise<Batch>;
  readonly indexes: readonly number[];
}

class ShardedReader implements DatasetReader {
  readonly preparation: InputPreparation;
  readonly classNames: ClassNames;
  readonly #p: ReaderParts;
  readonly #items: Readonly<Record<Split, readonly ListedItem[]>>;
  readonly #rows: PreparedRows;
  readonly #meter: ReaderMeter;
  /** The batch that is being put together. */
  #turn: Promise<unknown> = Promise.resolve();
  #rowBytes = 0;

  constructor(parts: ReaderParts) {
    this.#p = parts;
    this.preparation = parts.preparation;
    this.classNames = parts.classNames;
    const of = (split: Split): ListedItem[] => parts.items.filter((item) => item.split === split);
    this.#items = { train: of('train'), 'held-out': of('held-out') };
    this.#rows = new PreparedRows(parts.options.cacheBytes ?? 256 * 1024 * 1024);
    this.#meter = new ReaderMeter(parts.clock);
  }

  get counts(): Readonly<Record<Split, number>> {
    return { train: this.#items.train.length, 'held-out': this.#items['held-out'].length };
  }

  get classes(): number | undefined {
    return this.#p.options.loss === 'cross-entropy' ? this.classNames.count : undefined;
  }

  idOf(split: Split, index: number): Digest {
    return this.#item(split, index).id;
  }

  batch(split: Split, indexes: readonly number[], signal: AbortSignal): Promise<Batch> {
    return this.#meter.waiting(this.#queued(split, indexes, signal));
  }

  async *batches(
    split: Split,
    order: Iterable<readonly number[]>,
    signal: AbortSignal,
  ): AsyncGenerator<Batch, void, void> {
    const { prefetchBatches = 4, prefetchBytes = 64 * 1024 * 1024 } = this.#p.options;
    const left = new AbortController();
    const inner = AbortSignal.any([signal, left.signal]);
    const iterator = order[Symbol.iterator]();
    const ahead: Ahead[] = [];
    let exhausted = false;
    const readAhead = (): void => {
      while (!exhausted && ahead.length < prefetchBatches) {
        const bytesAhead = ahead.reduce((sum, { indexes }) => sum + this.#expectedBytes(indexes), 0);
        if (ahead.length > 0 && bytesAhead >= prefetchBytes) return;
        const next = iterator.next();
        exhausted = next.done === true;
        if (next.done === true) return;
        const batch = this.#queued(split, next.value, inner);
        batch.catch(() => undefined); // heard by whoever takes the batch; nobody may
        ahead.push({ batch, indexes: next.value });
      }
    };
    try {
      for (readAhead(); ahead.length > 0; readAhead()) {
        const batch = await this.#meter.waiting(ahead[0]!.batch);
        ahead.shift();
        readAhead();
        yield batch;
      }
    } finally {
      left.abort(new Error('the caller takes no more batches'));
      iterator.return?.();
      await Promise.allSettled(ahead.map(({ batch }) => batch));
    }
  }

  stats(): ReaderStats {
    return this.#meter.stats(this.#rows);
  }

  async close(): Promise<void> {
    await this.#turn;
    this.#rows.clear();
    await this.#p.shards.close();
  }

  #item(split: Split, index: number): ListedItem {
    const item = this.#items[split][index];
    if (item === undefined) throw new RangeError(`no item ${index} of ${this.#items[split].length} in ${split}`);
    return item;
  }

  /** What a batch will take, by the largest rows so far; unknown before the first: a small picture may become a large tensor. */
  #expectedBytes(indexes: readonly number[]): number {
    return this.#rowBytes === 0 ? Infinity : this.#rowBytes * indexes.length;
  }

  #queued(split: Split, indexes: readonly number[], signal: AbortSignal): Promise<Batch> {
    const made = this.#turn.then(() => this.#meter.reading(this.#make(split, indexes, signal)));
    this.#turn = made.catch(() => undefined); // the caller hears it
    return made;
  }

  async #make(split: Split, indexes: readonly number[], signal: AbortSignal): Promise<Batch> {
    if (indexes.length === 0) throw new RangeError('a batch has at least one item');
    const items = indexes.map((index) => this.#item(split, index));
    const rows = await inParallel(items, ROWS_AT_ONCE, async (item) => {
      signal.throwIfAborted();
      return this.#rows.get(item.id) ?? this.#prepare(item, signal);
    });
    const ids = items.map(({ id }) => id);
    const feeds = stackRows(rows, ids);
    const sizeBytes = feeds.reduce((sum, { data }) => sum + data.byteLength, 0);
    this.#rowBytes = Math.max(this.#rowBytes, sizeBytes / items.length);
    this.#meter.delivered(items.length, sizeBytes);
    const targets = ids.map((id) => this.#p.targets.get(id) ?? []);
    return { feeds, labels: stackLabels(this.#p.options.loss, targets), count: items.length, ids };
  }

  async #prepare(item: ListedItem, signal: AbortSignal): Promise<readonly NamedTensor[]> {
    const body = await this.#p.shards.read(item.shard, item.offsetBytes, item.sizeBytes);
    try {
      const row = await this.preparation.prepare(decodeSample(body).inputs, signal);
      this.#rows.add(item.id, row);
      return row;
    } catch (cause) {
      if (!(cause instanceof ServingError) && !(cause instanceof SampleError)) throw cause;
      throw new DataError('invalid', `sample ${item.id}: ${cause.message}`, { cause, field: cause.field ?? 'inputs' });
    }
  }
}

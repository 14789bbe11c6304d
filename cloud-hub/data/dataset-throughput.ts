// What the reader makes of a dataset: all of its samples read and prepared once, by the steps of the model's newest ready version, as
// training would. It finds what would end a job, too: a damaged shard, a label that is no class, inputs that the package doesn't take.
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { PackageError } from '@tidegate/shared/package/package-error.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import { batchesInTurn } from '@tidegate/shared/training/batch-order.js';
import { SPLITS, type DatasetRead } from '@tidegate/shared/wire/data-api.js';
import type { Catalogue } from '../inference/catalogue.js';
import type { Registry } from '../registry/registry.js';
import { DataError } from './data-error.js';
import { openDatasetReader, type DatasetReaderOptions } from './dataset-reader.js';
import type { DatasetService } from './dataset-service.js';

const BATCH_SIZE = 32;

interface ThroughputModules {
  readonly datasets: Pick<DatasetService, 'get'>;
  readonly catalogue: Pick<Catalogue, 'find'>;
  readonly registry: Pick<Registry, 'materialise'>;
  readonly content: ContentStore;
  readonly files: Files;
  readonly clock: Clock;
}

type HowToRead = Pick<DatasetReaderOptions, 'loss'> & { readonly graph?: string | undefined };

export class DatasetThroughput {
  readonly #m: ThroughputModules;
  #busy = false;

  constructor(modules: ThroughputModules) {
    this.#m = modules;
  }

  /**
   * Rejects with DataError `not-found`, `invalid` (what the reader says, or a package that can't be trained), `busy` while another
   * dataset is read, or with the signal's reason.
   */
  async measure(name: string, version: string, how: HowToRead, signal: AbortSignal): Promise<DatasetRead> {
    if (this.#busy) throw new DataError('busy', 'another dataset is being read; try again later');
    this.#busy = true;
    try {
      return await this.#measure(name, version, how, signal);
    } finally {
      this.#busy = false;
    }
  }

  async #measure(name: string, version: string, { loss, graph }: HowToRead, signal: AbortSignal): Promise<DatasetRead> {
    const { datasets, catalogue, registry, content, files, clock } = this.#m;
    const dataset = await datasets.get(name, version);
    const entry = catalogue.find(dataset.model, undefined);
    if (entry === undefined) {
      throw new DataError(
        'not-found',
        `the hub has no ready version of ${dataset.model}, whose steps would prepare it`,
        {
          field: 'model',
        },
      );
    }
    const pack = await openPackage(await registry.materialise(entry.variant), { inspect: inspectGraphFile });
    const options = { manifests: [dataset.digest], loss, cacheBytes: 0, ...(graph === undefined ? {} : { graph }) };
    const reader = await openDatasetReader(options, { pack, content, files, clock }).catch((cause: unknown) => {
      if (!(cause instanceof PackageError)) throw cause;
      throw new DataError('invalid', cause.message, { cause, field: 'graph' });
    });
    try {
      const startMs = clock.monotonicMs();
      for (const split of SPLITS) {
        const order = batchesInTurn({ count: reader.counts[split], batchSize: BATCH_SIZE });
        for await (const _ of reader.batches(split, order, signal)) continue; // nothing is computed
      }
      const { samples, bytes, samplesPerSecond, megabytesPerSecond, waitShare } = reader.stats();
      return {
        dataset: `${dataset.name}@${dataset.version}`,
        package: `${dataset.model}@${entry.variant.version}`,
        ...{ samples, bytes, samplesPerSecond, megabytesPerSecond, waitShare },
        elapsedMs: clock.monotonicMs() - startMs,
      };
    } finally {
      await reader.close();
    }
  }
}

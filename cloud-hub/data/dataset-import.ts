// Importing, as the client goes about it: ask what the model takes, ask which samples the hub lacks, send those, and then state the
// whole list with its labels, which freezes it. Every step may be done again; nothing is frozen before the last one.
import type { z } from 'zod';
import type { importDatasetSchema, importQuestionSchema, ImportTarget } from '@tidegate/shared/wire/data-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { decodeSample, SampleError, sampleId } from '@tidegate/shared/wire/sample.js';
import type { Catalogue } from '../inference/catalogue.js';
import type { Database } from '../storage/database.js';
import { DataError } from './data-error.js';
import type { DatasetService, MadeDataset } from './dataset-service.js';
import { missingSamples } from './imported-items.js';
import type { SampleClasses } from './sample-classes.js';
import type { SampleIntake, SampleTaken } from './sample-intake.js';

interface DatasetImportModules {
  readonly db: Database;
  readonly intake: Pick<SampleIntake, 'take'>;
  readonly classes: Pick<SampleClasses, 'check'>;
  readonly catalogue: Pick<Catalogue, 'find'>;
  readonly datasets: Pick<DatasetService, 'import'>;
}

export class DatasetImport {
  readonly #m: DatasetImportModules;

  constructor(modules: DatasetImportModules) {
    this.#m = modules;
  }

  /** What a sample of the model's newest ready version is made of. Throws DataError `not-found` where it has none. */
  target(model: string): ImportTarget {
    const entry = this.#m.catalogue.find(model, undefined);
    if (entry === undefined) {
      throw new DataError('not-found', `the hub has no ready version of a model ${model}`, { field: 'model' });
    }
    const inputs = entry.yaml.inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape: [...shape] }));
    return { model, version: entry.variant.version, inputs };
  }

  /** Rejects with DataError `invalid` (field `label`) for a label that is none of the model's classes. */
  async missing({ model, labels, ids }: z.infer<typeof importQuestionSchema>): Promise<Digest[]> {
    await this.#checkLabels(model, labels);
    return missingSamples(this.#m.db, ids);
  }

  /** Takes one body under its digest. Rejects with DataError `invalid` for what no import sends, and as SampleIntake.take. */
  async take(
    body: Uint8Array,
    { id, batch, label }: { readonly id: Digest; readonly batch: string; readonly label: string },
  ): Promise<SampleTaken> {
    if (sampleId(body) !== id) throw new DataError('invalid', `the bytes received are not ${id}`, { field: 'hex' });
    const { model, reason } = readFacts(body);
    if (reason !== 'import') {
      throw new DataError('invalid', `reason: is ${reason}; an import's is 'import'`, { field: 'reason' });
    }
    await this.#checkLabels(model, [label]);
    return this.#m.intake.take(body, { batch, label });
  }

  /** Rejects as DatasetService.import, and for a label that is none of the model's classes. */
  async freeze(name: string, request: z.infer<typeof importDatasetSchema>, actor: string): Promise<MadeDataset> {
    await this.#checkLabels(
      request.model,
      request.items.map(({ label }) => label),
    );
    return this.#m.datasets.import(name, request, actor);
  }

  async #checkLabels(model: string, labels: readonly string[]): Promise<void> {
    for (const label of new Set(labels)) await this.#m.classes.check(model, label);
  }
}

function readFacts(body: Uint8Array): { readonly model: string; readonly reason: string } {
  try {
    return decodeSample(body).facts;
  } catch (cause) {
    if (!(cause instanceof SampleError)) throw cause;
    throw new DataError('invalid', cause.message, { cause, field: cause.field });
  }
}

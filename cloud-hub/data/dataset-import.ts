// Importing, as the client goes about it: ask what the model takes, ask which samples the hub lacks, send those, and then state the
// whole list with its labels, which freezes it. Every step may be done again; nothing is frozen before the last one.
import type { z } from 'zod';
import {
  labelSchema,
  type importDatasetSchema,
  type importQuestionSchema,
  type ImportTarget,
} from '@tidegate/shared/wire/data-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { decodeSample } from '@tidegate/shared/wire/sample.js';
import { decodeFrames } from '@tidegate/shared/wire/sample-frames.js';
import type { Catalogue } from '../inference/catalogue.js';
import type { Database } from '../storage/database.js';
import { DataError, readSent } from './data-error.js';
import type { DatasetService, MadeDataset } from './dataset-service.js';
import { missingSamples } from './imported-items.js';
import type { SampleClasses } from './sample-classes.js';
import type { SampleIntake } from './sample-intake.js';

interface DatasetImportModules {
  readonly db: Database;
  readonly intake: Pick<SampleIntake, 'takeAll'>;
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

  /**
   * Takes the samples of `frames` (shared/wire/sample-frames.ts), all or none. Rejects with DataError `invalid` for what no import sends,
   * and as SampleIntake.takeAll.
   */
  async take(frames: Uint8Array, batch: string): Promise<{ taken: number; added: number }> {
    const sent = readSent(() => decodeFrames(frames));
    const labels = new Map<string, Set<string>>();
    for (const { label, body } of sent) {
      const { model, reason } = readSent(() => decodeSample(body)).facts;
      if (reason !== 'import') {
        throw new DataError('invalid', `reason: is ${reason}; an import's is 'import'`, { field: 'reason' });
      }
      if (!labelSchema.safeParse(label).success) {
        throw new DataError('invalid', 'label: has no character, or too many', { field: 'label' });
      }
      labels.set(model, (labels.get(model) ?? new Set()).add(label));
    }
    for (const [model, some] of labels) await this.#checkLabels(model, some);
    const taken = await this.#m.intake.takeAll(sent.map(({ body, label }) => ({ body, origin: { batch, label } })));
    const added = new Set(taken.filter((one) => one.added).map(({ id }) => id));
    return { taken: taken.length, added: added.size };
  }

  /** Rejects as DatasetService.import, and for a label that is none of the model's classes. */
  async freeze(name: string, request: z.infer<typeof importDatasetSchema>, actor: string): Promise<MadeDataset> {
    await this.#checkLabels(
      request.model,
      request.items.map(({ label }) => label),
    );
    return this.#m.datasets.import(name, request, actor);
  }

  async #checkLabels(model: string, labels: Iterable<string>): Promise<void> {
    for (const label of new Set(labels)) await this.#m.classes.check(model, label);
  }
}

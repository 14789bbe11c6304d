// The data side: samples that devices send and people judge, and the datasets that are frozen from them.
import { DatasetImport } from '../data/dataset-import.js';
import { DatasetService } from '../data/dataset-service.js';
import { DatasetThroughput } from '../data/dataset-throughput.js';
import { SampleClasses } from '../data/sample-classes.js';
import { SampleIntake } from '../data/sample-intake.js';
import { SampleProposals } from '../data/sample-proposals.js';
import { SampleService } from '../data/sample-service.js';
import type { RegistryService } from '../registry/registry-service.js';
import { recordAudit } from '../security/audit.js';
import type { Closing } from './closing.js';
import type { InferenceParts } from './open-inference.js';
import type { Parts } from './parts.js';

export interface DataParts {
  readonly intake: SampleIntake;
  readonly samples: SampleService;
  readonly proposals: SampleProposals;
  readonly datasets: DatasetService;
  readonly imports: DatasetImport;
  readonly throughput: DatasetThroughput;
}

export function openData(
  parts: Parts,
  registry: RegistryService,
  { catalogue, inference }: InferenceParts,
  closing: Closing,
): DataParts {
  const { db, content, files, events, clock } = parts;
  const intake = new SampleIntake({ db, content, events, clock });
  const changes = { db, events, clock, audit: recordAudit };
  const classes = new SampleClasses({ catalogue, registry });
  const samples = new SampleService({ ...changes, content, intake, classes });
  const proposals = new SampleProposals({ ...changes, samples, inference, catalogue });
  const datasets = new DatasetService({ ...changes, content, files });
  closing.add('datasets', () => datasets.close());
  const imports = new DatasetImport({ db, intake, classes, catalogue, datasets });
  const throughput = new DatasetThroughput({ datasets, catalogue, registry, content, files, clock });
  return { intake, samples, proposals, datasets, imports, throughput };
}

// The data side: samples that devices send and people judge.
import { SampleClasses } from '../data/sample-classes.js';
import { SampleIntake } from '../data/sample-intake.js';
import { SampleProposals } from '../data/sample-proposals.js';
import { SampleService } from '../data/sample-service.js';
import type { RegistryService } from '../registry/registry-service.js';
import { recordAudit } from '../security/audit.js';
import type { InferenceParts } from './open-inference.js';
import type { Parts } from './parts.js';

export interface DataParts {
  readonly intake: SampleIntake;
  readonly samples: SampleService;
  readonly proposals: SampleProposals;
}

export function openData(parts: Parts, registry: RegistryService, { catalogue, inference }: InferenceParts): DataParts {
  const { db, content, events, clock } = parts;
  const intake = new SampleIntake({ db, content, events, clock });
  const changes = { db, events, clock, audit: recordAudit };
  const classes = new SampleClasses({ catalogue, registry });
  const samples = new SampleService({ ...changes, content, intake, classes });
  const proposals = new SampleProposals({ ...changes, samples, inference, catalogue });
  return { intake, samples, proposals };
}

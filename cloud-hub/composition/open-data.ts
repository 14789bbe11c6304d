// The data side: samples that devices send and people judge.
import { SampleIntake } from '../data/sample-intake.js';
import type { Parts } from './parts.js';

export interface DataParts {
  readonly intake: SampleIntake;
}

export function openData(parts: Parts): DataParts {
  const { db, content, events, clock } = parts;
  return { intake: new SampleIntake({ db, content, events, clock }) };
}

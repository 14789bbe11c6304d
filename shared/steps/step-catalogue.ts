// The built-in steps by name. Steps are data to a package and code only here: nothing from a package is executed but
// graphs (design 13), so what isn't in this map doesn't exist.
import type { z } from 'zod';
import { branch } from './branch.js';
import { classify } from './classify.js';
import { crop } from './crop.js';
import { ctcDecode } from './ctc-decode.js';
import { decodeAudio } from './decode-audio.js';
import { decodeImage } from './decode-image.js';
import { filterRows } from './filter-rows.js';
import { join } from './join.js';
import { melSpectrogram } from './mel-spectrogram.js';
import { nonMaximumSuppression } from './non-maximum-suppression.js';
import { normalise } from './normalise.js';
import { padWidth } from './pad-width.js';
import { parseParameters } from './parameters.js';
import { perspectiveCrop } from './perspective-crop.js';
import { resize } from './resize.js';
import { rotate } from './rotate.js';
import { softmax } from './softmax.js';
import { StepError, type PreparedStep, type StepAssets, type StepDefinition } from './step.js';
import { thresholdToBoxes } from './threshold-to-boxes.js';
import { tokenise } from './tokenise.js';
import { topK } from './top-k.js';

/** A step with its type of parameters forgotten: they are parsed when it is prepared. */
export interface CatalogueStep {
  readonly name: string;
  readonly takesItems: boolean;
  readonly lists?: 'makes' | 'joins';
  /** The schema of its parameters, for documentation; `prepare` parses by itself. */
  readonly parameters: z.ZodType;
  /** Rejects with StepError that names the parameter or the asset. */
  prepare(parameters: unknown, assets: StepAssets): Promise<PreparedStep>;
}

export type StepCatalogue = ReadonlyMap<string, CatalogueStep>;

function catalogueStep<P>(step: StepDefinition<P>): CatalogueStep {
  return Object.freeze({
    name: step.name,
    takesItems: step.takesItems === true,
    ...(step.lists === undefined ? {} : { lists: step.lists }),
    parameters: step.parameters,
    prepare: async (parameters: unknown, assets: StepAssets) =>
      step.prepare(parseParameters(step.name, step.parameters, parameters), assets),
  });
}

const steps = [
  catalogueStep(branch),
  catalogueStep(classify),
  catalogueStep(crop),
  catalogueStep(ctcDecode),
  catalogueStep(decodeAudio),
  catalogueStep(decodeImage),
  catalogueStep(filterRows),
  catalogueStep(join),
  catalogueStep(melSpectrogram),
  catalogueStep(nonMaximumSuppression),
  catalogueStep(normalise),
  catalogueStep(padWidth),
  catalogueStep(perspectiveCrop),
  catalogueStep(resize),
  catalogueStep(rotate),
  catalogueStep(softmax),
  catalogueStep(thresholdToBoxes),
  catalogueStep(tokenise),
  catalogueStep(topK),
];

export const stepCatalogue: StepCatalogue = new Map(steps.map((step) => [step.name, step]));

/** Throws StepError for a name that the catalogue lacks. */
export function findStep(name: string, catalogue: StepCatalogue = stepCatalogue): CatalogueStep {
  const step = catalogue.get(name);
  if (step === undefined) {
    throw new StepError(name, `there is no such step; there are ${[...catalogue.keys()].join(', ')}`);
  }
  return step;
}

// An answer with those of its outputs that were asked for as classes. Any front may use it.
import { describe } from '../tensor/json-data.js';
import { classify } from './classification.js';
import { invalid } from './http/invalid.js';
import { ifHere } from './if-here.js';
import type { InferAnswer, InferenceService } from './inference-service.js';
import { maxBatchSizeOf } from './model-config.js';

/** An output that is asked for. */
export interface OutputAsked {
  readonly name: string;
  /** Classification extension: that many greatest elements; 0 = the output itself. */
  readonly classes: number;
}

/** Of an output's parameters. Throws ServingError `invalid-argument`; `field` is the output's (`outputs[0]`). */
export function classesAsked(parameters: Readonly<Record<string, unknown>>, field: string): number {
  const classes = parameters['classification'] ?? 0;
  if (typeof classes === 'number' && Number.isSafeInteger(classes) && classes >= 0) return classes;
  throw invalid(`${field}.parameters.classification`, `expected a number of classes, got ${describe(classes)}`);
}

/** Throws ServingError `invalid-argument` for an output that has no scores. */
export function classifiedAnswer(
  service: InferenceService,
  answer: InferAnswer,
  requested: readonly OutputAsked[],
  version: string | undefined,
): InferAnswer {
  if (!requested.some(({ classes }) => classes > 0)) return answer;
  const details = ifHere(() => service.details?.(answer.model, version));
  const outputs = answer.outputs.map((output) => {
    const at = requested.findIndex(({ name }) => name === output.name);
    const classes = requested[at]?.classes ?? 0;
    if (classes === 0) return output;
    const batched = details === undefined ? output.shape.length > 1 : maxBatchSizeOf(details) > 0;
    return classify(output, { classes, batched, labels: details?.labels.get(output.name), field: `outputs[${at}]` });
  });
  return { ...answer, outputs };
}

// An answer with those of its outputs that were asked for as classes. Any front may use it.
import { classify } from './classification.js';
import type { InferAnswer, InferenceService } from './inference-service.js';
import { maxBatchSizeOf } from './model-config.js';
import { ServingError } from './serving-error.js';

interface ClassesAsked {
  readonly name: string;
  /** 0 = the output itself. */
  readonly classes: number;
}

/** Throws ServingError `invalid-argument` for an output that has no scores. */
export function classifiedAnswer(
  service: InferenceService,
  answer: InferAnswer,
  requested: readonly ClassesAsked[],
  version: string | undefined,
): InferAnswer {
  if (!requested.some(({ classes }) => classes > 0)) return answer;
  const details = detailsIfHere(service, answer.model, version);
  const outputs = answer.outputs.map((output) => {
    const at = requested.findIndex(({ name }) => name === output.name);
    const classes = requested[at]?.classes ?? 0;
    if (classes === 0) return output;
    const batched = details === undefined ? output.shape.length > 1 : maxBatchSizeOf(details) > 0;
    return classify(output, { classes, batched, labels: details?.labels.get(output.name), field: `outputs[${at}]` });
  });
  return { ...answer, outputs };
}

function detailsIfHere(service: InferenceService, model: string, version: string | undefined) {
  try {
    return service.details?.(model, version);
  } catch (error) {
    if (error instanceof ServingError && error.code === 'not-found') return undefined; // the hub has answered
    throw error;
  }
}

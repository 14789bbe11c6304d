// An answer of Triton's generate extension: one flat JSON object with the outputs by name, beside what an answer says of itself;
// and the same as an event of a stream (WHATWG HTML, "Server-sent events").
import { elementCount, type NamedTensor } from '../../tensor/tensor.js';
import { tensorDataToJson } from '../../tensor/json-text.js';
import { TensorDataError } from '../../tensor/tensor-data-error.js';
import type { InferAnswer } from '../inference-service.js';
import { ServingError } from '../serving-error.js';
import { provenanceJson } from './answer-body.js';

/** Throws ServingError `invalid-argument` naming an output that JSON can't carry. */
export function generateAnswer({ model, version, outputs, provenance }: InferAnswer, id: string | undefined): string {
  const idText = id === undefined ? '' : `"id":${JSON.stringify(id)},`;
  const names = `"model_name":${JSON.stringify(model)},"model_version":${JSON.stringify(version)}`;
  let text = `{${idText}${names},"parameters":${provenanceJson(provenance)}`;
  for (const output of outputs) text += `,${JSON.stringify(output.name)}:${valueOf(output)}`;
  return `${text}}`;
}

/** JSON has no raw line ends in it, so that an event is one line. */
export function eventText(json: string): string {
  return `data: ${json}\n\n`;
}

/** One element stands for itself, several as a flat array. */
function valueOf(output: NamedTensor): string {
  try {
    const array = tensorDataToJson(output, output.name);
    return elementCount(output.shape) === 1 ? array.slice(1, -1) : array;
  } catch (error) {
    if (!(error instanceof TensorDataError)) throw error;
    const text = `${error.message} (by infer; generate has JSON only)`;
    throw new ServingError('invalid-argument', text, { field: error.field, cause: error });
  }
}

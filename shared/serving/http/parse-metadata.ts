// What another server says that a model takes and gives (rest specification, "Model Metadata Response JSON Object"). What comes over
// the wire is untrusted here too.
import { isDatatype } from '../../tensor/datatype.js';
import type { TensorSpec } from '../../tensor/tensor.js';
import type { ModelMetadata } from '../inference-service.js';
import { ServingError } from '../serving-error.js';
import { objectOf, parseJson } from './json-body.js';

/** Throws ServingError `hub-unavailable`: what answers there does not speak the protocol. */
export function parseMetadata(body: Buffer): ModelMetadata {
  try {
    const { name, versions, platform, inputs, outputs } = objectOf(parseJson(body), 'the answer');
    if (typeof name !== 'string') throw new Error('it names no model');
    return {
      name,
      versions: Array.isArray(versions) ? versions.map(String) : [],
      platform: typeof platform === 'string' ? platform : '',
      inputs: specs(inputs, 'inputs'),
      outputs: specs(outputs, 'outputs'),
    };
  } catch (cause) {
    const text = `what the hub says of the model can't be read: ${(cause as Error).message}`;
    throw new ServingError('hub-unavailable', text, { cause });
  }
}

function specs(value: unknown, field: string): TensorSpec[] {
  if (!Array.isArray(value)) throw new Error(`${field} are missing`);
  return value.map((item: unknown, i) => {
    const { name, datatype, shape } = objectOf(item, `${field}[${i}]`);
    if (typeof name !== 'string' || !isDatatype(datatype) || !isDeclaredShape(shape))
      throw new Error(`${field}[${i}] is incomplete`);
    return { name, datatype, shape };
  });
}

function isDeclaredShape(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((dimension) => Number.isSafeInteger(dimension) && dimension >= -1);
}

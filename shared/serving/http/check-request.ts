// A request against what the model declares: names, datatypes, shapes. Pure; any front may use it. A pipeline may be
// entered at an inner value (contract.md, Model package); which values then suffice is the service's to say, so only
// requests that enter at the public inputs are checked for missing ones here.
import { ELEMENT_SIZE_BYTES } from '../../tensor/datatype.js';
import { elementCount, fitShape, shapeMatches, type NamedTensor, type TensorSpec } from '../../tensor/tensor.js';
import type { ModelMetadata } from '../inference-service.js';
import { invalid } from './invalid.js';

/** Throws ServingError `invalid-argument` naming the input or output. */
export function checkRequest(
  metadata: ModelMetadata,
  inputs: readonly NamedTensor[],
  outputs: readonly { readonly name: string }[],
): void {
  let entersInside = false;
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i] as NamedTensor;
    const inner = find(innerOf(metadata), input.name);
    const spec = find(metadata.inputs, input.name) ?? inner;
    if (spec === undefined && metadata.inner === 'unread') {
      entersInside = true;
      continue;
    }
    if (spec === undefined) {
      throw invalid(
        `inputs[${i}].name`,
        `the model has no input ${quote(input.name)}; it has ${names(metadata.inputs)}`,
      );
    }
    entersInside ||= spec === inner;
    checkInput(spec, input, `inputs[${i}]`);
  }
  const missing = metadata.inputs.find((spec) => !inputs.some((input) => input.name === spec.name));
  if (missing !== undefined && !entersInside) {
    throw invalid('inputs', `the input ${quote(missing.name)} is missing; the model takes ${names(metadata.inputs)}`);
  }
  for (let i = 0; i < outputs.length; i++) {
    const name = (outputs[i] as { name: string }).name;
    if (metadata.inner === 'unread' || (find(metadata.outputs, name) ?? find(metadata.inner, name))) continue;
    throw invalid(`outputs[${i}].name`, `the model has no output ${quote(name)}; it has ${names(metadata.outputs)}`);
  }
}

function checkInput(spec: TensorSpec, input: NamedTensor, field: string): void {
  if (input.datatype !== spec.datatype) {
    throw invalid(`${field}.datatype`, `input ${quote(spec.name)} takes ${spec.datatype}, got ${input.datatype}`);
  }
  if (!shapeMatches(spec.shape, input.shape)) {
    const text = `input ${quote(spec.name)} takes [${spec.shape.join(',')}] (-1 = any), got [${input.shape.join(',')}]`;
    throw invalid(`${field}.shape`, text);
  }
}

/**
 * A body without JSON (Inference-Header-Content-Length: 0) is the one input of a model: a dynamic dimension follows from
 * its size, others than the last dynamic one are 1. BYTES: the body is one element. Throws ServingError.
 */
export function rawInput(metadata: ModelMetadata, body: Uint8Array): NamedTensor {
  const [spec] = metadata.inputs;
  if (spec === undefined || metadata.inputs.length > 1) {
    const text = `0 means a body without JSON, which needs a model with one input; it has ${names(metadata.inputs)}`;
    throw invalid('Inference-Header-Content-Length', text);
  }
  const { name, datatype } = spec;
  if (datatype === 'BYTES') {
    const shape = spec.shape.map((dimension) => (dimension < 0 ? 1 : dimension));
    if (elementCount(shape) !== 1) throw invalid('body', `input ${quote(name)} takes more than one BYTES element`);
    const data = new Uint8Array(4 + body.byteLength);
    new DataView(data.buffer).setUint32(0, body.byteLength, true);
    data.set(body, 4);
    return { name, datatype, shape, data };
  }
  const shape = fitShape(spec.shape, body.byteLength / ELEMENT_SIZE_BYTES[datatype]);
  if (shape === undefined) {
    throw invalid('body', `${body.byteLength} bytes don't fill ${datatype} of shape [${spec.shape.join(',')}]`);
  }
  return { name, datatype, shape, data: body };
}

function innerOf({ inner }: ModelMetadata): readonly TensorSpec[] | undefined {
  return inner === 'unread' ? undefined : inner;
}

function find(specs: readonly TensorSpec[] | undefined, name: string): TensorSpec | undefined {
  return specs?.find((spec) => spec.name === name);
}

function names(specs: readonly TensorSpec[]): string {
  return specs.map((spec) => quote(spec.name)).join(', ');
}

const quote = (name: string): string => JSON.stringify(name);

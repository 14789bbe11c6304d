// The body of Triton's generate extension -> typed tensors: a flat JSON object, in which a field that has the name of one of the
// model's inputs is that input, and any other a parameter. Datatypes are the model's; shapes follow from how many elements
// there are, as Triton has it, or from the nesting of the arrays. Pure.
import type { IncomingHttpHeaders } from 'node:http';
import { describe } from '../../tensor/json-data.js';
import { elementCount, fitShape, shapeMatches, type NamedTensor, type TensorSpec } from '../../tensor/tensor.js';
import type { ModelMetadata } from '../inference-service.js';
import { ServingError } from '../serving-error.js';
import { invalid } from './invalid.js';
import { objectOf, optionalObject, optionalString, parseExactJson, parseJson, type JsonObject } from './json-body.js';
import { jsonTensorData } from './json-tensor.js';
import { readRequestOptions, type RequestOptions } from './request-options.js';

interface ParsedGenerate {
  readonly id: string | undefined;
  readonly inputs: readonly NamedTensor[];
  readonly options: RequestOptions;
}

interface Given {
  readonly name: string;
  readonly value: unknown;
  /** As errors call it: `parameters.temperature`. */
  readonly field: string;
  /** The value with every digit. */
  readonly exact: () => unknown;
}

/** What an answer says of itself; an output of such a name could not be told from it. */
const OF_ANSWER = ['id', 'model_name', 'model_version', 'parameters'];

/** Throws ServingError: `invalid-argument` naming the field, `unimplemented` for a model whose names are the extension's own. */
export function parseGenerate(json: Buffer, headers: IncomingHttpHeaders, metadata: ModelMetadata): ParsedGenerate {
  checkNames(metadata);
  const root = json.byteLength === 0 ? {} : objectOf(parseJson(json), 'body');
  const inputs = new Map<string, NamedTensor>();
  const parameters = new Map<string, unknown>();
  for (const given of fieldsOf(root, json)) {
    const { name, value, field } = given;
    if (inputs.has(name) || parameters.has(name)) throw invalid(field, 'given twice');
    const spec = metadata.inputs.find((input) => input.name === name);
    if (spec === undefined) parameters.set(name, name === 'sequence_id' ? exactly(given) : value);
    else inputs.set(name, inputOf(spec, given));
  }
  for (const { name } of metadata.inputs) {
    if (inputs.has(name)) continue;
    const all = metadata.inputs.map((input) => JSON.stringify(input.name)).join(', ');
    throw invalid(name, `missing; the model takes ${all}`);
  }
  return {
    id: optionalString(root['id'], 'id') || undefined, // no text is none, as Triton has it
    inputs: [...inputs.values()],
    options: readRequestOptions(Object.fromEntries(parameters), headers),
  };
}

function checkNames({ inputs, outputs }: ModelMetadata): void {
  const taken =
    inputs.find(({ name }) => name === 'id' || name === 'parameters') ??
    outputs.find(({ name }) => OF_ANSWER.includes(name));
  if (taken === undefined) return;
  const text = `generate: the model calls a tensor ${JSON.stringify(taken.name)}, which is the extension's own word: use infer`;
  throw new ServingError('unimplemented', text, { field: 'path' });
}

function fieldsOf(root: JsonObject, json: Buffer): Given[] {
  let exactRoot: JsonObject | undefined;
  const exactly = (): JsonObject => (exactRoot ??= parseExactJson(json));
  const nested = Object.entries(optionalObject(root['parameters'], 'parameters') ?? {});
  return [
    ...Object.entries(root)
      .filter(([name]) => name !== 'id' && name !== 'parameters')
      .map(([name, value]) => ({ name, value, field: name, exact: () => exactly()[name] })),
    ...nested.map(([name, value]) => ({
      name,
      value,
      field: `parameters.${name}`,
      exact: () => (exactly()['parameters'] as JsonObject)[name],
    })),
  ];
}

function exactly({ value, exact }: Given): unknown {
  return typeof value === 'number' && !Number.isSafeInteger(value) ? exact() : value;
}

function inputOf(spec: TensorSpec, { name, value, field, exact }: Given): NamedTensor {
  const { datatype } = spec;
  if (Array.isArray(value)) {
    const shape = shapeOf(spec, value, field);
    return { name, datatype, shape, data: jsonTensorData(datatype, shape, value, field, exact) };
  }
  const shape = fitShape(spec.shape, 1);
  if (shape === undefined) throw misfit(spec, field, describe(value));
  try {
    return { name, datatype, shape, data: jsonTensorData(datatype, shape, [value], field, () => [exact()]) };
  } catch (error) {
    const element = `${field}[0]`; // of the array that nobody sent
    if (!(error instanceof ServingError) || error.field !== element) throw error;
    throw invalid(field, error.message.slice(element.length + ': '.length), error);
  }
}

/** A flat array says how many elements there are, a nested one the shape. */
function shapeOf(spec: TensorSpec, value: readonly unknown[], field: string): readonly number[] {
  const found: number[] = [];
  for (let level: unknown = value; Array.isArray(level) && found.length <= spec.shape.length; level = level[0]) {
    found.push(level.length);
  }
  const shape = found.length === 1 ? fitShape(spec.shape, value.length) : found;
  if (shape !== undefined && shapeMatches(spec.shape, shape) && elementCount(shape) !== undefined) return shape;
  throw misfit(spec, field, found.length === 1 ? `${value.length} elements` : `arrays of [${found.join(',')}]`);
}

function misfit({ datatype, shape }: TensorSpec, field: string, got: string): ServingError {
  return invalid(field, `takes ${datatype} of shape [${shape.join(',')}] (-1 = any), which ${got} can't fill`);
}

// The body of an inference request -> typed tensors, which are views of the body wherever they came as binary data (rest
// specification, "Inference Request JSON Object"; Triton's binary data extension). Everything is checked before anything
// is allocated for it: shapes against overflow, sizes against shapes, the binary section against the sizes, to the byte.
import type { IncomingHttpHeaders } from 'node:http';
import { countBytes } from '../../tensor/bytes.js';
import { isDatatype, type Datatype } from '../../tensor/datatype.js';
import { describe } from '../../tensor/json-data.js';
import { elementCount, sizeBytes, type NamedTensor } from '../../tensor/tensor.js';
import { classesAsked, type OutputAsked } from '../classified-answer.js';
import { ServingError } from '../serving-error.js';
import type { OutputPlace, RegionUse } from '../shared-memory.js';
import { invalid } from './invalid.js';
import {
  objectOf,
  optionalObject,
  optionalString,
  parseExactJson,
  parseJson,
  stringOf,
  type JsonObject,
} from './json-body.js';
import { jsonTensorData } from './json-tensor.js';
import { memoryParameters } from './memory-parameters.js';
import { readRequestOptions, type RequestOptions } from './request-options.js';

export interface RequestedOutput extends OutputAsked {
  readonly binary: boolean;
  /** Where it goes instead of into the answer; undefined = into the answer. */
  readonly place?: OutputPlace | undefined;
}

export interface ParsedInfer {
  readonly id: string | undefined;
  /** Of a stream's frame; over HTTP the path says it. */
  readonly modelName: string | undefined;
  readonly modelVersion: string | undefined;
  readonly inputs: readonly NamedTensor[];
  /** Empty = the model's default outputs, in the form that `options.binaryDataOutput` says. */
  readonly outputs: readonly RequestedOutput[];
  readonly options: RequestOptions;
}

type MemoryAccess = Pick<RegionUse, 'read' | 'place'>;

/**
 * `jsonBytes` is the header Inference-Header-Content-Length; undefined = the body is all JSON.
 * Throws ServingError `invalid-argument` or `too-large`, naming the field.
 */
export function parseInfer(
  body: Buffer,
  jsonBytes: number | undefined,
  headers: IncomingHttpHeaders,
  jsonBytesMax: number,
  memory: MemoryAccess,
): ParsedInfer {
  const end = jsonBytes ?? body.byteLength;
  if (end > body.byteLength) {
    const text = `says ${end} bytes of JSON, but the body has ${body.byteLength}`;
    throw invalid('Inference-Header-Content-Length', text);
  }
  if (end > jsonBytesMax) {
    const text = `${end} bytes of JSON, more than ${jsonBytesMax}: send large tensors as binary data`;
    throw new ServingError('too-large', `body: ${text}`, { field: 'body' });
  }
  const json = body.subarray(0, end);
  const root = objectOf(parseJson(json), 'body');
  const options = readRequestOptions(exactSequence(root['parameters'], json), headers);
  const binary = new BinarySection(body, end);
  const inputs = readInputs(root['inputs'], binary, json, memory);
  binary.finish();
  return {
    id: optionalString(root['id'], 'id'),
    modelName: optionalString(root['model_name'], 'model_name'),
    modelVersion: optionalString(root['model_version'], 'model_version'),
    inputs,
    outputs: readOutputs(root['outputs'], options, memory),
    options,
  };
}

/** The value of Inference-Header-Content-Length; undefined where it isn't sent. */
export function readJsonBytes(headers: IncomingHttpHeaders): number | undefined {
  const text = headers['inference-header-content-length'];
  if (text === undefined) return undefined;
  if (typeof text !== 'string' || !/^[0-9]{1,15}$/.test(text)) {
    throw invalid('Inference-Header-Content-Length', `expected a number of bytes, got ${JSON.stringify(text)}`);
  }
  return Number(text);
}

/** The bytes after the JSON, handed out in the order of the inputs. */
class BinarySection {
  readonly #body: Buffer;
  #at: number;

  constructor(body: Buffer, start: number) {
    this.#body = body;
    this.#at = start;
  }

  take(length: number, field: string): Uint8Array {
    const left = this.#body.byteLength - this.#at;
    if (length > left) throw invalid(field, `says ${length} bytes of binary data, but ${left} are left in the body`);
    const { buffer, byteOffset } = this.#body;
    const data = new Uint8Array(buffer, byteOffset + this.#at, length);
    this.#at += length;
    return data;
  }

  finish(): void {
    const left = this.#body.byteLength - this.#at;
    if (left > 0) throw invalid('body', `${left} bytes of binary data are left over: no input takes them`);
  }
}

function readInputs(value: unknown, binary: BinarySection, json: Buffer, memory: MemoryAccess): NamedTensor[] {
  if (!Array.isArray(value)) throw invalid('inputs', `expected an array, got ${describe(value)}`);
  if (value.length === 0) throw invalid('inputs', 'expected at least one input');
  const sources = { binary, lossless: new LosslessInputs(json), memory };
  const names = new Set<string>();
  return value.map((input, i) => {
    const tensor = readInput(objectOf(input, `inputs[${i}]`), i, sources);
    if (names.has(tensor.name)) throw invalid(`inputs[${i}].name`, `${JSON.stringify(tensor.name)} is given twice`);
    names.add(tensor.name);
    return tensor;
  });
}

/** Where the elements of inputs come from. */
interface InputSources {
  readonly binary: BinarySection;
  readonly lossless: LosslessInputs;
  readonly memory: MemoryAccess;
}

function readInput(input: JsonObject, index: number, { binary, lossless, memory }: InputSources): NamedTensor {
  const field = `inputs[${index}]`;
  const name = stringOf(input['name'], `${field}.name`);
  const datatype = input['datatype'];
  if (!isDatatype(datatype)) throw invalid(`${field}.datatype`, `${describe(datatype)} is no datatype`);
  const shape = readShape(input['shape'], `${field}.shape`);
  const parameters = optionalObject(input['parameters'], `${field}.parameters`);
  const binarySize = parameters?.['binary_data_size'];
  const data = input['data'];
  const place = parameters === undefined ? undefined : memoryParameters(parameters, field);
  if (place !== undefined) {
    if ((data ?? binarySize ?? null) !== null) {
      throw invalid(`${field}.parameters.shared_memory_region`, 'given beside data: one of them only');
    }
    const bytes = memory.read(place, field);
    checkBinary(datatype, shape, bytes, `${field}.parameters.shared_memory_byte_size`);
    return { name, datatype, shape, data: bytes };
  }
  if (binarySize === undefined || binarySize === null) {
    if (data === undefined)
      throw invalid(`${field}.data`, `input ${JSON.stringify(name)} has neither data nor binary_data_size`);
    return {
      name,
      datatype,
      shape,
      data: jsonTensorData(datatype, shape, data, `${field}.data`, () => lossless.data(index)),
    };
  }
  if (data !== undefined && data !== null)
    throw invalid(`${field}.data`, 'given beside binary_data_size: one of them only');
  const sizeField = `${field}.parameters.binary_data_size`;
  if (typeof binarySize !== 'number' || !Number.isSafeInteger(binarySize) || binarySize < 0) {
    throw invalid(sizeField, `expected a number of bytes, got ${describe(binarySize)}`);
  }
  const bytes = binary.take(binarySize, sizeField);
  checkBinary(datatype, shape, bytes, sizeField);
  return { name, datatype, shape, data: bytes };
}

/** Throws ServingError where binary data doesn't fill its shape exactly. */
export function checkBinary(datatype: Datatype, shape: readonly number[], data: Uint8Array, field: string): void {
  if (datatype === 'BYTES') {
    const count = countBytes(data);
    if (count === undefined) throw invalid(field, 'the length of a BYTES element runs past the end of the data');
    const wanted = elementCount(shape);
    if (count !== wanted)
      throw invalid(field, `${count} BYTES elements, the shape [${shape.join(',')}] takes ${wanted}`);
    return;
  }
  const wanted = sizeBytes(datatype, shape);
  if (data.byteLength !== wanted) {
    throw invalid(field, `${data.byteLength} bytes, ${datatype} of shape [${shape.join(',')}] takes ${wanted}`);
  }
}

/** Reads the JSON a second time, without rounding, but only once somebody sent an integer beyond 2^53. */
class LosslessInputs {
  readonly #json: Buffer;
  #inputs: readonly JsonObject[] | undefined;

  constructor(json: Buffer) {
    this.#json = json;
  }

  data(index: number): unknown {
    this.#inputs ??= parseExactJson(this.#json)['inputs'] as readonly JsonObject[];
    return this.#inputs[index]?.['data'];
  }
}

/** Parameters with the very number that was sent as `sequence_id`: reading JSON rounds those beyond 2^53. */
function exactSequence(parameters: unknown, json: Buffer): unknown {
  const given = parameters as JsonObject | null | undefined;
  const id = typeof given === 'object' ? given?.['sequence_id'] : undefined;
  if (typeof id !== 'number' || Number.isSafeInteger(id)) return parameters;
  return { ...given, sequence_id: (parseExactJson(json)['parameters'] as JsonObject)['sequence_id'] };
}

function readShape(value: unknown, field: string): readonly number[] {
  if (!Array.isArray(value)) throw invalid(field, `expected an array, got ${describe(value)}`);
  for (let i = 0; i < value.length; i++) {
    const dimension: unknown = value[i];
    if (typeof dimension !== 'number' || !Number.isSafeInteger(dimension) || dimension < 0) {
      throw invalid(`${field}[${i}]`, `expected a whole number >= 0, got ${describe(dimension)}`);
    }
  }
  const shape = value as readonly number[];
  if (elementCount(shape) === undefined) throw invalid(field, `the product of [${shape.join(',')}] overflows`);
  return shape;
}

function readOutputs(value: unknown, options: RequestOptions, memory: MemoryAccess): RequestedOutput[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw invalid('outputs', `expected an array, got ${describe(value)}`);
  const names = new Set<string>();
  return value.map((item, i) => {
    const field = `outputs[${i}]`;
    const output = objectOf(item, field);
    const name = stringOf(output['name'], `${field}.name`);
    if (names.has(name)) throw invalid(`${field}.name`, `${JSON.stringify(name)} is asked for twice`);
    names.add(name);
    const parameters = optionalObject(output['parameters'], `${field}.parameters`);
    if (parameters === undefined) return { name, binary: options.binaryDataOutput, classes: 0 };
    const place = memoryParameters(parameters, field);
    const classes = classesAsked(parameters, field);
    const binary = parameters['binary_data'] ?? options.binaryDataOutput;
    if (typeof binary !== 'boolean') {
      throw invalid(`${field}.parameters.binary_data`, `expected true or false, got ${describe(binary)}`);
    }
    return { name, binary, classes, place: place === undefined ? undefined : memory.place(place, field) };
  });
}

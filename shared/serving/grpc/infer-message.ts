// ModelInferRequest -> typed tensors, ModelInferResponse <- an answer (open_inference_grpc.proto). Tensors are views of the
// message that came, and are copied once, into the message that goes. Every input's data comes either in raw_input_contents,
// in the order of the inputs, or in its own typed contents, never both ways in one request.
import { isDatatype } from '../../tensor/datatype.js';
import { describe } from '../../tensor/json-data.js';
import { elementCount, type NamedTensor } from '../../tensor/tensor.js';
import { classesAsked, type OutputAsked } from '../classified-answer.js';
import { checkBinary } from '../http/parse-infer.js';
import { memoryParameters } from '../http/memory-parameters.js';
import { invalid } from '../http/invalid.js';
import { checkVersion } from '../http/model-version.js';
import type { InferAnswer, Provenance } from '../inference-service.js';
import { ServingError } from '../serving-error.js';
import type { OutputPlace, RegionUse } from '../shared-memory.js';
import { ProtoError, ProtoReader } from './proto-reader.js';
import { ProtoWriter } from './proto-writer.js';
import { dataOfContents } from './typed-contents.js';

type Parameters = Readonly<Record<string, unknown>>;

export interface InferMessage {
  readonly model: string;
  /** Undefined = the active one. */
  readonly version: string | undefined;
  readonly id: string;
  readonly parameters: Parameters;
  readonly inputs: readonly NamedTensor[];
  /** Empty = the model's default outputs. */
  readonly outputs: readonly OutputWanted[];
}

interface OutputWanted extends OutputAsked {
  /** In shared memory; absent = in the answer. */
  readonly place?: OutputPlace;
}

/** Where parts of shared memory are read and written that a request names. */
type MemoryAccess = Pick<RegionUse, 'read' | 'place'>;

interface Input {
  name: string;
  datatype: string;
  shape: number[];
  parameters: Parameters;
  /** An InferTensorContents; its meaning depends on the datatype. */
  contents: Buffer | undefined;
}

const NOTHING: Parameters = {};
const NO_BYTES = new Uint8Array();

/** The id of a request, also of one that can't be read any further: an error is told with it. */
export function idOf(bytes: Buffer): string {
  try {
    const reader = new ProtoReader(bytes);
    for (let field = reader.next(); field !== 0; field = reader.next()) {
      if (field === 3) return reader.string();
      reader.skip();
    }
  } catch (error) {
    if (!(error instanceof ProtoError)) throw error;
  }
  return '';
}

/** Throws ServingError `invalid-argument`, naming the field. */
export function readInferRequest(bytes: Buffer, memory: MemoryAccess): InferMessage {
  try {
    return readRequest(new ProtoReader(bytes), memory);
  } catch (error) {
    if (error instanceof ProtoError) throw invalid('message', `not a ModelInferRequest: ${error.message}`, error);
    throw error;
  }
}

function readRequest(reader: ProtoReader, memory: MemoryAccess): InferMessage {
  let model = '';
  let version = '';
  let id = '';
  let parameters = NOTHING;
  const inputs: Input[] = [];
  const outputs: OutputWanted[] = [];
  const raw: Buffer[] = [];
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) model = reader.string();
    else if (field === 2) version = reader.string();
    else if (field === 3) id = reader.string();
    else if (field === 4) parameters = withParameter(parameters, reader.message());
    else if (field === 5) inputs.push(readInput(reader.message()));
    else if (field === 6) outputs.push(readOutput(reader.message(), outputs, memory));
    else if (field === 7) raw.push(reader.bytes());
    else reader.skip();
  }
  return { id, parameters, inputs: tensorsOf(inputs, raw, memory), outputs, ...checkModel(model, version) };
}

/** Throws ServingError `invalid-argument`. */
export function checkModel(
  model: string,
  version: string,
  modelField = 'model_name',
  versionField = 'model_version',
): { model: string; version: string | undefined } {
  if (model === '') throw invalid(modelField, 'expected a name, got nothing');
  return { model, version: version === '' ? undefined : checkVersion(version, versionField) };
}

function readInput(reader: ProtoReader): Input {
  const input: Input = { name: '', datatype: '', shape: [], parameters: NOTHING, contents: undefined };
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) input.name = reader.string();
    else if (field === 2) input.datatype = reader.string();
    else if (field === 3) reader.safeIntegers(input.shape);
    else if (field === 4) input.parameters = withParameter(input.parameters, reader.message());
    else if (field === 5) {
      const contents = reader.bytes();
      input.contents = input.contents === undefined ? contents : Buffer.concat([input.contents, contents]);
    } else reader.skip();
  }
  return input;
}

function readOutput(reader: ProtoReader, before: readonly OutputAsked[], memory: MemoryAccess): OutputWanted {
  const path = `outputs[${before.length}]`;
  let name = '';
  let parameters = NOTHING;
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) name = reader.string();
    else if (field === 2) parameters = withParameter(parameters, reader.message());
    else reader.skip();
  }
  if (before.some((output) => output.name === name))
    throw invalid(`${path}.name`, `${JSON.stringify(name)} is asked for twice`);
  const part = memoryParameters(parameters, path);
  const classes = classesAsked(parameters, path);
  return { name, classes, ...(part === undefined ? {} : { place: memory.place(part, path) }) };
}

/** One entry of a map; the last one of a name wins, as protobuf says. */
function withParameter(before: Parameters, entry: ProtoReader): Parameters {
  let key = '';
  let value: unknown;
  for (let field = entry.next(); field !== 0; field = entry.next()) {
    if (field === 1) key = entry.string();
    else if (field === 2) value = readParameter(entry.message());
    else entry.skip();
  }
  const parameters = (before === NOTHING ? Object.create(null) : before) as Record<string, unknown>;
  parameters[key] = value;
  return parameters;
}

/** A bigint where the number passes 2^53: whoever reads it says that this is too much. */
function readParameter(reader: ProtoReader): unknown {
  let value: unknown;
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) value = reader.bool();
    else if (field === 2) value = plainNumber(reader.int64());
    else if (field === 3) value = reader.string();
    else if (field === 4) value = reader.double();
    else if (field === 5) value = plainNumber(reader.uint64());
    else reader.skip();
  }
  return value;
}

function plainNumber(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Raw contents are of those inputs that don't lie in shared memory. */
function tensorsOf(inputs: readonly Input[], raw: readonly Buffer[], memory: MemoryAccess): NamedTensor[] {
  if (inputs.length === 0) throw invalid('inputs', 'expected at least one input');
  const parts = inputs.map(({ parameters }, i) => memoryParameters(parameters, `inputs[${i}]`));
  const here = parts.filter((part) => part === undefined).length;
  if (raw.length > 0 && raw.length !== here) {
    throw invalid('raw_input_contents', `${raw.length} elements for ${here} inputs: one for each, or none at all`);
  }
  let next = 0;
  const names = new Set<string>();
  return inputs.map((input, i) => {
    if (names.has(input.name)) throw invalid(`inputs[${i}].name`, `${JSON.stringify(input.name)} is given twice`);
    names.add(input.name);
    const part = parts[i];
    if (part === undefined) return tensorOf(input, i, raw[next], `raw_input_contents[${next++}]`);
    const field = `inputs[${i}]`;
    return tensorOf(input, i, memory.read(part, field), `${field}.parameters.shared_memory_byte_size`);
  });
}

/** `source`: what names the length of `raw`. */
function tensorOf(
  { name, datatype, shape, contents }: Input,
  index: number,
  raw: Uint8Array | undefined,
  source: string,
): NamedTensor {
  const field = `inputs[${index}]`;
  if (!isDatatype(datatype)) throw invalid(`${field}.datatype`, `${describe(datatype)} is no datatype`);
  const negative = shape.findIndex((dimension) => dimension < 0);
  if (negative >= 0) {
    throw invalid(`${field}.shape[${negative}]`, `expected a whole number >= 0, got ${shape[negative]}`);
  }
  const count = elementCount(shape);
  if (count === undefined) throw invalid(`${field}.shape`, `the product of [${shape.join(',')}] overflows`);
  if (raw === undefined) {
    return { name, datatype, shape, data: dataOfContents(datatype, contents ?? Buffer.alloc(0), count, field) };
  }
  if (contents !== undefined && contents.byteLength > 0) {
    throw invalid(`${field}.contents`, 'given beside raw_input_contents or shared memory: one of them only');
  }
  const data = new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength);
  checkBinary(datatype, shape, data, source);
  return { name, datatype, shape, data };
}

interface ResponseForm {
  readonly id: string;
  /** In the order in which they go; empty = the answer's own. */
  readonly outputs: readonly Pick<OutputWanted, 'name' | 'place'>[];
  /** A ModelStreamInferResponse around it. */
  readonly inStream?: boolean;
  /** Says that no other answer follows, as Triton does for clients who ask. */
  readonly final?: boolean;
}

/**
 * A ModelInferResponse; tensors are raw, those for shared memory are written there and empty here. Throws ServingError: `failed` for
 * an output that isn't there, `invalid-argument` for one that its place is too small for.
 */
export function writeInferResponse(answer: InferAnswer, form: ResponseForm): Buffer {
  const tensors = tensorsInOrder(answer, form.outputs);
  const writer = new ProtoWriter();
  writer.string(1, answer.model);
  writer.string(2, answer.version);
  writer.string(3, form.id);
  writeProvenance(writer, answer.provenance);
  if (form.final === true) writeParameter(writer, 'triton_final_response', true);
  const blobs = tensors.map(({ name, datatype, shape, data }, i) => {
    const place = form.outputs[i]?.place;
    place?.write(data);
    writer.message(5, () => {
      writer.string(1, name);
      writer.string(2, datatype);
      writer.packed(3, shape);
      if (place === undefined) return;
      writeParameter(writer, 'shared_memory_region', place.region);
      writeParameter(writer, 'shared_memory_offset', place.offset);
      writeParameter(writer, 'shared_memory_byte_size', data.byteLength);
    });
    return place === undefined ? data : NO_BYTES;
  });
  return writer.finish({ field: 6, blobs, within: form.inStream === true ? 2 : 0 });
}

/** A ModelStreamInferResponse with an error; the id tells which request it is about. */
export function writeStreamError(text: string, id: string): Buffer {
  const writer = new ProtoWriter();
  writer.string(1, text);
  writer.message(2, () => writer.string(3, id));
  return writer.finish();
}

function tensorsInOrder(answer: InferAnswer, asked: ResponseForm['outputs']): readonly NamedTensor[] {
  if (asked.length === 0) return answer.outputs;
  return asked.map(({ name }) => {
    const found = answer.outputs.find((output) => output.name === name);
    if (found === undefined) throw new ServingError('failed', `the answer lacks the output ${JSON.stringify(name)}`);
    return found;
  });
}

/** The same names as in the JSON of an answer over HTTP. */
function writeProvenance(writer: ProtoWriter, from: Provenance): void {
  writeParameter(writer, 'placement', from.placement);
  writeParameter(writer, 'reason', from.reason);
  writeParameter(writer, 'model_digest', from.modelDigest);
  writeParameter(writer, 'variant', from.variant);
  writeParameter(writer, 'variant_digest', from.variantDigest);
  writeParameter(writer, 'queue_us', Math.round(from.queueUs));
  writeParameter(writer, 'compute_us', Math.round(from.computeUs));
  if (from.cacheLayer !== undefined) writeParameter(writer, 'cache_layer', from.cacheLayer);
  if (from.cacheAgeMs !== undefined) writeParameter(writer, 'cache_age_ms', Math.ceil(from.cacheAgeMs));
  if (from.cacheStale === true) writeParameter(writer, 'cache', 'stale');
  if (from.confidence !== undefined && Number.isFinite(from.confidence)) {
    writeRealParameter(writer, 'confidence', from.confidence);
  }
  if (from.ranOn === undefined) return;
  const { provider, providerReason, cpuNodesRatio } = from.ranOn;
  writeParameter(writer, 'provider', provider);
  if (providerReason !== undefined) writeParameter(writer, 'provider_reason', providerReason);
  if (cpuNodesRatio !== undefined) writeRealParameter(writer, 'cpu_nodes_ratio', cpuNodesRatio);
}

function writeRealParameter(writer: ProtoWriter, name: string, value: number): void {
  writer.message(4, () => {
    writer.string(1, name);
    writer.message(2, () => writer.givenDouble(4, value));
  });
}

/** A number is an integer. */
function writeParameter(writer: ProtoWriter, name: string, value: string | number | boolean): void {
  writer.message(4, () => {
    writer.string(1, name);
    writer.message(2, () => {
      if (typeof value === 'string') writer.givenString(3, value);
      else if (typeof value === 'number') writer.givenInteger(2, value);
      else writer.givenBool(1, value);
    });
  });
}

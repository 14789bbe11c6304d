// An answer -> the parts of its HTTP body: JSON, then binary tensors in the order of the outputs (rest specification,
// "Inference Response JSON Object"; Triton's binary data extension), and where it came from, in parameters and in headers
// (contract.md). Binary tensors are passed on, not copied.
import { tensorDataToJson } from '../../tensor/json-text.js';
import type { NamedTensor } from '../../tensor/tensor.js';
import { TensorDataError } from '../../tensor/tensor-data-error.js';
import type { InferAnswer, Provenance } from '../inference-service.js';
import type { RanOn } from '../provider-in-use.js';
import { ServingError } from '../serving-error.js';
import type { RequestedOutput } from './parse-infer.js';

export interface AnswerBody {
  readonly json: string;
  /** Undefined = the body is all JSON. */
  readonly binary: readonly Uint8Array[] | undefined;
}

/** Throws ServingError: `invalid-argument` for an output that JSON can't carry, `failed` for one that isn't there. */
export function buildAnswer(
  answer: InferAnswer,
  id: string | undefined,
  requested: readonly RequestedOutput[],
  binaryByDefault: boolean,
): AnswerBody {
  const binary: Uint8Array[] = [];
  let anyBinary = false;
  let outputs = '';
  const count = requested.length === 0 ? answer.outputs.length : requested.length;
  for (let i = 0; i < count; i++) {
    const wanted = requested[i];
    const output = wanted === undefined ? (answer.outputs[i] as NamedTensor) : outputOf(answer, wanted.name);
    if (i > 0) outputs += ',';
    outputs += `{"name":${JSON.stringify(output.name)},"datatype":"${output.datatype}","shape":[${output.shape.join(',')}]`;
    if (wanted?.place !== undefined) {
      wanted.place.write(output.data);
      outputs += '}'; // Triton says no more either: its C++ client takes any parameters for those of binary data
    } else if (wanted === undefined ? binaryByDefault : wanted.binary) {
      anyBinary = true;
      outputs += `,"parameters":{"binary_data_size":${output.data.byteLength}}}`;
      if (output.data.byteLength > 0) binary.push(output.data);
    } else {
      outputs += `,"data":${jsonData(output, i)}}`;
    }
  }
  const idText = id === undefined ? '' : `,"id":${JSON.stringify(id)}`;
  const names = `"model_name":${JSON.stringify(answer.model)},"model_version":${JSON.stringify(answer.version)}`;
  const json = `{${names}${idText},"parameters":${provenanceJson(answer.provenance)},"outputs":[${outputs}]}`;
  return { json, binary: anyBinary ? binary : undefined };
}

function outputOf(answer: InferAnswer, name: string): NamedTensor {
  const found = answer.outputs.find((output) => output.name === name);
  if (found === undefined) throw new ServingError('failed', `the answer lacks the output ${JSON.stringify(name)}`);
  return found;
}

function jsonData(output: NamedTensor, index: number): string {
  try {
    return tensorDataToJson(output, `outputs[${index}]`);
  } catch (error) {
    if (!(error instanceof TensorDataError)) throw error;
    const text = `${error.message} (output ${JSON.stringify(output.name)})`;
    throw new ServingError('invalid-argument', text, { field: error.field, cause: error });
  }
}

/** Of an answer's `parameters`. */
export function provenanceJson(from: Provenance): string {
  let text = `{"placement":"${from.placement}","reason":${JSON.stringify(from.reason)}`;
  text += `,"model_digest":${JSON.stringify(from.modelDigest)},"variant":${JSON.stringify(from.variant)}`;
  text += `,"variant_digest":${JSON.stringify(from.variantDigest)}`;
  text += `,"queue_us":${Math.round(from.queueUs)},"compute_us":${Math.round(from.computeUs)}`;
  if (from.ranOn !== undefined) text += ranOnJson(from.ranOn);
  if (from.cacheLayer !== undefined) text += `,"cache_layer":"${from.cacheLayer}"`;
  if (from.cacheAgeMs !== undefined) text += `,"cache_age_ms":${Math.ceil(from.cacheAgeMs)}`;
  if (from.cacheStale === true) text += ',"cache":"stale"';
  if (from.confidence !== undefined && Number.isFinite(from.confidence)) text += `,"confidence":${from.confidence}`;
  return `${text}}`;
}

function ranOnJson({ provider, providerReason, cpuNodesRatio }: RanOn): string {
  let text = `,"provider":"${provider}"`;
  if (providerReason !== undefined) text += `,"provider_reason":${JSON.stringify(providerReason)}`;
  if (cpuNodesRatio !== undefined) text += `,"cpu_nodes_ratio":${cpuNodesRatio}`;
  return text;
}

/** Appends `tidegate-...` names and values, alternating, as `writeHead` takes them. */
export function pushProvenanceHeaders(headers: string[], from: Provenance): void {
  headers.push(
    'tidegate-placement',
    from.placement,
    'tidegate-reason',
    headerText(from.reason),
    'tidegate-model-digest',
    headerText(from.modelDigest),
    'tidegate-variant',
    headerText(from.variant),
    'tidegate-variant-digest',
    headerText(from.variantDigest),
    'tidegate-queue-us',
    String(Math.round(from.queueUs)),
    'tidegate-compute-us',
    String(Math.round(from.computeUs)),
  );
  if (from.ranOn !== undefined) {
    const { provider, providerReason, cpuNodesRatio } = from.ranOn;
    headers.push('tidegate-provider', provider);
    if (providerReason !== undefined) headers.push('tidegate-provider-reason', headerText(providerReason));
    if (cpuNodesRatio !== undefined) headers.push('tidegate-cpu-nodes-ratio', String(cpuNodesRatio));
  }
  if (from.cacheLayer !== undefined) headers.push('tidegate-cache-layer', from.cacheLayer);
  if (from.cacheAgeMs !== undefined) headers.push('tidegate-cache-age-ms', String(Math.ceil(from.cacheAgeMs)));
  if (from.cacheStale === true) headers.push('tidegate-cache', 'stale');
  if (from.confidence !== undefined) headers.push('tidegate-confidence', String(from.confidence));
}

/** Header values are visible ASCII; anything else would make `writeHead` throw. */
export function headerText(text: string): string {
  return /^[\x20-\x7e]*$/.test(text) ? text : text.replaceAll(/[^\x20-\x7e]/g, '?');
}

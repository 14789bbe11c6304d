// The answer of another server -> InferAnswer. What comes over the wire is untrusted here too: every tensor is held
// against its shape before anyone runs or caches it. Works with a foreign server (Triton), which says nothing of where an
// answer came from.
import { PROVIDERS } from '../../runtime/engine.js';
import { isDatatype } from '../../tensor/datatype.js';
import { elementCount, type NamedTensor } from '../../tensor/tensor.js';
import { tensorDataFromJson } from '../../tensor/json-data.js';
import type { InferAnswer, Placement, Provenance } from '../inference-service.js';
import { ServingError } from '../serving-error.js';
import { checkBinary } from './parse-infer.js';

type JsonObject = Readonly<Record<string, unknown>>;
type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** Throws ServingError `hub-unavailable`: what answers there does not speak the protocol. */
export function parseAnswer(body: Buffer, headers: Headers): InferAnswer {
  try {
    return parse(body, headers);
  } catch (cause) {
    const text = `the hub's answer can't be read: ${(cause as Error).message}`;
    throw new ServingError('hub-unavailable', text, { cause });
  }
}

function parse(body: Buffer, headers: Headers): InferAnswer {
  const stated = headers['inference-header-content-length'];
  const end = stated === undefined ? body.byteLength : Number(stated);
  if (!Number.isSafeInteger(end) || end < 0 || end > body.byteLength) throw new Error('its JSON length is wrong');
  const root = object(JSON.parse(body.toString('utf8', 0, end)), 'the answer');
  if (!Array.isArray(root['outputs'])) throw new Error('it has no outputs');
  let at = end;
  const outputs = root['outputs'].map((item: unknown, i): NamedTensor => {
    const field = `outputs[${i}]`;
    const { name, datatype, shape, data, parameters } = object(item, field);
    if (typeof name !== 'string' || !isDatatype(datatype) || !isShape(shape)) throw new Error(`${field} is incomplete`);
    const size = parameters === undefined ? undefined : object(parameters, `${field}.parameters`)['binary_data_size'];
    if (size === undefined)
      return { name, datatype, shape, data: tensorDataFromJson(datatype, shape, data, `${field}.data`) };
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0 || at + size > body.byteLength) {
      throw new Error(`${field}.parameters.binary_data_size is wrong`);
    }
    const bytes = new Uint8Array(body.buffer, body.byteOffset + at, size);
    at += size;
    checkBinary(datatype, shape, bytes, field);
    return { name, datatype, shape, data: bytes };
  });
  if (at !== body.byteLength) throw new Error(`${body.byteLength - at} bytes are left over`);
  const { model_name: model, model_version: version } = root;
  const provenance = readProvenance(root['parameters']);
  return { model: text(model, ''), version: text(version, ''), outputs, provenance };
}

const PLACEMENTS: readonly Placement[] = ['cache', 'edge', 'hub', 'split'];

function readProvenance(value: unknown): Provenance {
  const from: JsonObject = typeof value === 'object' && value !== null ? (value as JsonObject) : {};
  const { confidence, cache_layer: layer, cache_age_ms: ageMs } = from;
  return {
    placement: PLACEMENTS.find((placement) => placement === from['placement']) ?? 'hub',
    reason: text(from['reason'], 'answered by the hub'),
    modelDigest: text(from['model_digest'], ''),
    variant: text(from['variant'], ''),
    variantDigest: text(from['variant_digest'], ''),
    queueUs: micros(from['queue_us']),
    computeUs: micros(from['compute_us']),
    ...readRanOn(from),
    ...(layer === 'memory' || layer === 'disk' || layer === 'hub' || layer === 'semantic' ? { cacheLayer: layer } : {}),
    ...(typeof ageMs === 'number' && ageMs >= 0 ? { cacheAgeMs: ageMs } : {}),
    ...(from['cache'] === 'stale' ? { cacheStale: true as const } : {}),
    ...(typeof confidence === 'number' ? { confidence } : {}),
  };
}

function readRanOn(from: JsonObject): Pick<Provenance, 'ranOn'> {
  const provider = PROVIDERS.find((known) => known === from['provider']);
  if (provider === undefined) return {};
  const { provider_reason: reason, cpu_nodes_ratio: ratio } = from;
  const inRange = typeof ratio === 'number' && ratio >= 0 && ratio <= 1;
  return {
    ranOn: {
      provider,
      ...(typeof reason === 'string' && { providerReason: reason }),
      ...(inRange && { cpuNodesRatio: ratio }),
    },
  };
}

function micros(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : 0;
}

function text(value: unknown, otherwise: string): string {
  return typeof value === 'string' ? value : otherwise;
}

function object(value: unknown, field: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${field} is no object`);
  return value as JsonObject;
}

function isShape(value: unknown): value is readonly number[] {
  return Array.isArray(value) && elementCount(value as number[]) !== undefined;
}

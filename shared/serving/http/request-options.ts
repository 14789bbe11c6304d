// What a request may say beside its tensors (contract.md, "What a request may say"): JSON `parameters`, or the headers
// `tidegate-<name>` with `-` for `_`. A parameter wins over its header. Parameters that nobody here reads pass through to
// the service as part of the request's identity.
import type { IncomingHttpHeaders } from 'node:http';
import { describe } from '../../tensor/json-data.js';
import type { CacheMode, InferRequest, PlacementRequest } from '../inference-service.js';
import { invalid } from './invalid.js';
import { readSequence, type Stated } from './sequence-options.js';

export interface RequestOptions {
  /** 0 = unstated: the server's default. */
  readonly timeoutUs: number;
  readonly priority: number;
  /** On whose behalf; undefined = nobody said. */
  readonly tenant: string | undefined;
  readonly placement: PlacementRequest;
  readonly cache: CacheMode;
  readonly maxStalenessMs: number | undefined;
  /** Sorted, each once; undefined = none. */
  readonly cacheTags: readonly string[] | undefined;
  /** Undefined = of no sequence. */
  readonly sequence: ReturnType<typeof readSequence>;
  /** Triton's binary data extension: all outputs that don't say otherwise. */
  readonly binaryDataOutput: boolean;
  readonly parameters: InferRequest['parameters'];
}

const PLACEMENTS: readonly PlacementRequest[] = ['auto', 'local', 'hub', 'split'];
const CACHE_MODES: readonly CacheMode[] = ['use', 'bypass', 'refresh'];
const READ_HERE = new Set([
  'timeout',
  'priority',
  'tenant',
  'placement',
  'cache',
  'max_staleness_ms',
  'cache_tags',
  'binary_data_output',
  'sequence_id',
  'sequence_start',
  'sequence_end',
]);
const LIMIT_TAGS = 8;
const TAG = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$/;
/** Begins so that no name of ours, `(others)`, can be meant. */
const TENANT = /^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,63}$/;
const NOTHING: InferRequest['parameters'] = {};

/** Throws ServingError `invalid-argument` naming the parameter or the header. */
export function readRequestOptions(parameters: unknown, headers: IncomingHttpHeaders): RequestOptions {
  const given = recordOf(parameters);
  const binary = given?.['binary_data_output'];
  if (binary !== undefined && binary !== null && typeof binary !== 'boolean') {
    throw invalid('parameters.binary_data_output', `expected true or false, got ${describe(binary)}`);
  }
  return {
    timeoutUs: wholeNumber(stated(given, headers, TIMEOUT)) ?? 0,
    priority: wholeNumber(stated(given, headers, PRIORITY)) ?? 0,
    tenant: tenantOf(stated(given, headers, TENANT_NAME)),
    placement: oneOf(stated(given, headers, PLACEMENT), PLACEMENTS) ?? 'auto',
    cache: oneOf(stated(given, headers, CACHE), CACHE_MODES) ?? 'use',
    maxStalenessMs: wholeNumber(stated(given, headers, MAX_STALENESS_MS)),
    cacheTags: tags(stated(given, headers, CACHE_TAGS)),
    sequence: readSequence(
      stated(given, headers, SEQUENCE_ID),
      stated(given, headers, SEQUENCE_START),
      stated(given, headers, SEQUENCE_END),
    ),
    binaryDataOutput: binary === true,
    parameters: given === undefined ? NOTHING : passedThrough(given),
  };
}

interface OptionName {
  readonly parameter: string;
  readonly header: string;
}

const nameOf = (parameter: string): OptionName => ({
  parameter,
  header: `tidegate-${parameter.replaceAll('_', '-')}`,
});
const TIMEOUT = nameOf('timeout');
const PRIORITY = nameOf('priority');
const TENANT_NAME = nameOf('tenant');
const PLACEMENT = nameOf('placement');
const CACHE = nameOf('cache');
const MAX_STALENESS_MS = nameOf('max_staleness_ms');
const CACHE_TAGS = nameOf('cache_tags');
const SEQUENCE_ID = nameOf('sequence_id');
const SEQUENCE_START = nameOf('sequence_start');
const SEQUENCE_END = nameOf('sequence_end');

/** Undefined = said nowhere, as most requests do for most options. */
function stated(
  given: Readonly<Record<string, unknown>> | undefined,
  headers: IncomingHttpHeaders,
  { parameter, header }: OptionName,
): Stated | undefined {
  const value = given?.[parameter];
  if (value !== undefined && value !== null) return { value, field: `parameters.${parameter}` };
  const text = headers[header];
  return text === undefined ? undefined : { value: headerValue(String(text)), field: `header ${header}` };
}

function recordOf(parameters: unknown): Readonly<Record<string, unknown>> | undefined {
  if (parameters === undefined || parameters === null) return undefined;
  if (typeof parameters !== 'object' || Array.isArray(parameters)) {
    throw invalid('parameters', `expected an object, got ${describe(parameters)}`);
  }
  return parameters as Record<string, unknown>;
}

/** A header carries text: digits are meant as a number, and `true` and `false` as such. */
function headerValue(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true';
  if (!/^[0-9]+$/.test(text)) return text;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : BigInt(text);
}

function wholeNumber(option: Stated | undefined): number | undefined {
  if (option === undefined) return undefined;
  const { value, field } = option;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw invalid(field, `expected a whole number >= 0, got ${describe(value)}`);
  }
  return value;
}

function tenantOf(option: Stated | undefined): string | undefined {
  if (option === undefined || option.value === '') return undefined;
  const { value, field } = option;
  if ((typeof value === 'string' || typeof value === 'number') && TENANT.test(String(value))) return String(value);
  throw invalid(field, `expected at most 64 letters, digits and . _ : @ / -; got ${describe(value)}`);
}

/** Text, since clients of the protocol send no lists: `camera-3,shop:12`. */
function tags(option: Stated | undefined): readonly string[] | undefined {
  if (option === undefined || option.value === '') return undefined;
  const { value, field } = option;
  const given = typeof value === 'string' || typeof value === 'number' ? String(value).split(',') : [];
  const found = [...new Set(given.map((tag) => tag.trim()))].sort();
  if (found.length === 0 || found.length > LIMIT_TAGS || !found.every((tag) => TAG.test(tag))) {
    const allowed = `1 to ${LIMIT_TAGS} tags of at most 64 letters, digits and . _ : / -, separated by commas`;
    throw invalid(field, `expected ${allowed}; got ${describe(value)}`);
  }
  return found;
}

function oneOf<T extends string>(option: Stated | undefined, allowed: readonly T[]): T | undefined {
  if (option === undefined) return undefined;
  const { value, field } = option;
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined) throw invalid(field, `expected ${allowed.join(', ')}; got ${describe(value)}`);
  return found;
}

function passedThrough(given: Readonly<Record<string, unknown>>): InferRequest['parameters'] {
  const entries: [string, string | number | boolean][] = [];
  for (const [name, value] of Object.entries(given)) {
    if (READ_HERE.has(name) || value === null) continue;
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') {
      throw invalid(`parameters.${name}`, `expected a string, number or boolean, got ${describe(value)}`);
    }
    entries.push([name, value]);
  }
  return entries.length === 0 ? NOTHING : Object.fromEntries(entries);
}

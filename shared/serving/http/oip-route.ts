// Which call of the Open Inference Protocol a path names (rest specification, "HTTP/REST"), and of Triton's extensions to it
// (generate, model repository, model configuration, statistics, trace, logging, shared memory). Clients don't escape names
// alike, so segments are decoded one by one.
import { checkVersion } from './model-version.js';

interface ModelRoute<Call extends string> {
  readonly call: Call;
  readonly model: string;
  readonly version: string | undefined;
}

/** The protocol itself, inference apart. */
export type PlainRoute =
  { readonly call: 'server' | 'live' | 'ready' | 'unknown' } | ModelRoute<'metadata' | 'model-ready'>;

/** Triton's extensions. */
export type ExtensionRoute =
  | { readonly call: 'index' | 'all-statistics' | 'logging' }
  | ModelRoute<'config' | 'statistics'>
  | { readonly call: 'load' | 'unload'; readonly model: string }
  /** Undefined = the server's settings. */
  | { readonly call: 'trace'; readonly model: string | undefined }
  | MemoryRoute;

/** Calls that the model answers. */
export type InferRoute = ModelRoute<'infer' | 'generate' | 'generate-stream'>;

type OipRoute = PlainRoute | InferRoute | ExtensionRoute;

export interface MemoryRoute {
  readonly call: 'shared-memory';
  readonly kind: 'system' | 'cuda';
  readonly action: 'status' | 'register' | 'unregister';
  /** Undefined = all regions. */
  readonly region: string | undefined;
}

const FIXED: Readonly<Record<string, OipRoute>> = {
  '/v2': { call: 'server' },
  '/v2/': { call: 'server' },
  '/v2/health/live': { call: 'live' },
  '/v2/health/ready': { call: 'ready' },
  '/v2/repository/index': { call: 'index' },
  '/v2/models/stats': { call: 'all-statistics' },
  '/v2/logging': { call: 'logging' },
  '/v2/trace/setting': { call: 'trace', model: undefined },
};
const UNKNOWN: OipRoute = { call: 'unknown' };
const MODELS = '/v2/models/';
const REPOSITORY = /^\/v2\/repository\/models\/([^/]+)\/(load|unload)$/;
const MEMORY = /^\/v2\/(system|cuda)sharedmemory(?:\/region\/([^/]+))?\/(status|register|unregister)$/;
const OF_MODEL = {
  infer: 'infer',
  ready: 'model-ready',
  config: 'config',
  stats: 'statistics',
  generate: 'generate',
  generate_stream: 'generate-stream',
} as const;

/** Is the request target one of the protocol's (`/v2`, `/v2?x`, `/v2/...`)? */
export function isOipTarget(target: string): boolean {
  if (!target.startsWith('/v2')) return false;
  const next = target.charCodeAt(3);
  return Number.isNaN(next) || next === 0x2f || next === 0x3f;
}

/** Parses a request target; the query is not the protocol's and is ignored. Throws ServingError for a wrong version. */
export function parseOipRoute(target: string): OipRoute {
  const query = target.indexOf('?');
  const path = query < 0 ? target : target.slice(0, query);
  const fixed = FIXED[path];
  if (fixed !== undefined) return fixed;
  if (!path.startsWith(MODELS)) return extensionRoute(path);
  const [name = '', ...rest] = path.slice(MODELS.length).split('/');
  const model = decode(name);
  if (model === undefined || model === '') return UNKNOWN;
  if (rest[0] !== 'versions') return withVersion(model, undefined, rest);
  const version = checkVersion(decode(rest[1] ?? '') ?? rest[1] ?? '', 'version');
  return withVersion(model, version, rest.slice(2));
}

function withVersion(model: string, version: string | undefined, rest: readonly string[]): OipRoute {
  const [word = ''] = rest;
  if (rest.length === 0) return { call: 'metadata', model, version };
  if (rest.length === 2 && word === 'trace' && rest[1] === 'setting') return { call: 'trace', model };
  if (rest.length > 1 || !Object.hasOwn(OF_MODEL, word)) return UNKNOWN;
  return { call: OF_MODEL[word as keyof typeof OF_MODEL], model, version } as OipRoute;
}

function extensionRoute(path: string): OipRoute {
  const repository = REPOSITORY.exec(path);
  if (repository !== null) {
    const model = decode(repository[1] ?? '');
    return model === undefined ? UNKNOWN : { call: repository[2] as 'load' | 'unload', model };
  }
  const memory = MEMORY.exec(path);
  if (memory === null) return UNKNOWN;
  const region = memory[2] === undefined ? undefined : decode(memory[2]);
  if (memory[2] !== undefined && region === undefined) return UNKNOWN;
  const action = memory[3] as MemoryRoute['action'];
  return { call: 'shared-memory', kind: memory[1] as MemoryRoute['kind'], action, region };
}

function decode(segment: string): string | undefined {
  if (!segment.includes('%')) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined; // a broken escape names no model
  }
}

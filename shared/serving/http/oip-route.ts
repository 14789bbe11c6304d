// Which call of the Open Inference Protocol a path names (rest specification, "HTTP/REST"; `/v2/repository/index` from
// Triton's model repository extension). Clients don't escape names alike, so segments are decoded one by one.
import { invalid } from './invalid.js';

export type OipRoute =
  | { readonly call: 'server' | 'live' | 'ready' | 'index' | 'unknown' }
  | {
      readonly call: 'metadata' | 'model-ready' | 'infer';
      readonly model: string;
      readonly version: string | undefined;
    };

const FIXED: Readonly<Record<string, OipRoute>> = {
  '/v2': { call: 'server' },
  '/v2/': { call: 'server' },
  '/v2/health/live': { call: 'live' },
  '/v2/health/ready': { call: 'ready' },
  '/v2/repository/index': { call: 'index' },
};
const UNKNOWN: OipRoute = { call: 'unknown' };
const MODELS = '/v2/models/';
const VERSION = /^[0-9]{1,15}$/;

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
  if (!path.startsWith(MODELS)) return UNKNOWN;
  const [name = '', ...rest] = path.slice(MODELS.length).split('/');
  const model = decode(name);
  if (model === undefined || model === '') return UNKNOWN;
  if (rest[0] !== 'versions') return withVersion(model, undefined, rest);
  const version = decode(rest[1] ?? '');
  if (version === undefined || !VERSION.test(version)) {
    throw invalid('version', `expected digits, got ${JSON.stringify(version ?? rest[1])}`);
  }
  return withVersion(model, version, rest.slice(2));
}

function withVersion(model: string, version: string | undefined, rest: readonly string[]): OipRoute {
  if (rest.length === 0) return { call: 'metadata', model, version };
  if (rest.length > 1) return UNKNOWN;
  if (rest[0] === 'infer') return { call: 'infer', model, version };
  if (rest[0] === 'ready') return { call: 'model-ready', model, version };
  return UNKNOWN;
}

function decode(segment: string): string | undefined {
  if (!segment.includes('%')) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined; // a broken escape names no model
  }
}

// Triton's extensions around inference: model repository, model configuration, statistics, trace and log settings. Each call
// gives the JSON of its answer or throws a ServingError; what this server does not offer is refused by its name with 501.
import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import type { InferenceService } from '../inference-service.js';
import { changedLevel, logSettings, type LogControl } from '../log-settings.js';
import { modelConfig } from '../model-config.js';
import { offered, offeredExtensions, statisticsOf } from '../offered.js';
import { ServingError } from '../serving-error.js';
import type { SharedMemoryRegions } from '../shared-memory.js';
import { traceSettings } from '../trace-settings.js';
import type { BodyShare } from './body-budget.js';
import { invalid } from './invalid.js';
import { memoryRefusal } from './memory-access.js';
import type { ExtensionRoute, MemoryRoute } from './oip-route.js';
import { readBody } from './read-body.js';
import { statisticsJson } from './statistics-json.js';

/** Bodies of these calls are small; beyond: 413. */
const BODY_BYTES_MAX = 64 * 1024;
/** What is wrong with a call that is not offered. */
const PATH = { field: 'path' } as const;

const indexBody = z.strictObject({ ready: z.boolean().optional() });
const loadBody = z.strictObject({ parameters: z.record(z.string(), z.unknown()).optional() });
const registerBody = z.strictObject({ key: z.string(), offset: z.int().min(0).default(0), byte_size: z.int().min(1) });
const settingsBody = z.record(z.string(), z.unknown());

interface OipExtensionsModules {
  readonly service: InferenceService;
  /** Absent where callers of this front may not change the log. */
  readonly logControl?: LogControl | undefined;
  readonly sharedMemory?: SharedMemoryRegions | undefined;
}

/** A call and what it may use. */
interface ExtensionCall {
  readonly request: IncomingMessage;
  /** The caller is on this machine. */
  readonly local: boolean;
  readonly share: BodyShare;
  readonly signal: AbortSignal;
}

/** The methods that a call is answered for. */
export function methodsOf(route: ExtensionRoute): readonly ('GET' | 'POST')[] {
  switch (route.call) {
    case 'config':
    case 'statistics':
    case 'all-statistics':
      return ['GET'];
    case 'trace':
    case 'logging':
      return ['GET', 'POST'];
    case 'shared-memory':
      return route.action === 'status' ? ['GET'] : ['POST'];
    default:
      return ['POST'];
  }
}

export class OipExtensions {
  readonly #service: InferenceService;
  readonly #logControl: LogControl | undefined;
  readonly #sharedMemory: SharedMemoryRegions | undefined;

  constructor({ service, logControl, sharedMemory }: OipExtensionsModules) {
    this.#sharedMemory = sharedMemory;
    this.#service = service;
    this.#logControl = logControl;
  }

  /** The names under which the server's metadata lists what is offered. */
  get names(): readonly string[] {
    return [
      ...offeredExtensions(this.#service),
      'generate',
      ...(this.#logControl === undefined ? [] : ['logging']),
      ...(this.#sharedMemory === undefined ? [] : ['system_shared_memory']),
    ];
  }

  /** The answer's JSON. Rejects with ServingError. */
  async answer(route: ExtensionRoute, call: ExtensionCall): Promise<unknown> {
    const { request, share, signal } = call;
    switch (route.call) {
      case 'index':
        return this.#index(await readJson(request, share, indexBody));
      case 'load':
      case 'unload':
        return this.#change(route.call, route.model, await readJson(request, share, loadBody), signal);
      case 'config':
        return modelConfig(offered(this.#service, 'details', PATH)(route.model, route.version));
      case 'statistics':
        return statisticsJson(statisticsOf(this.#service, route.model, route.version, PATH));
      case 'all-statistics':
        return statisticsJson(offered(this.#service, 'statistics', PATH)());
      case 'trace':
        if (route.model !== undefined) this.#service.metadata(route.model, undefined);
        return traceSettings(await updateOf(request, share));
      case 'logging':
        return this.#logging(await updateOf(request, share));
      case 'shared-memory':
        return this.#memory(route, call);
    }
  }

  #index({ ready }: z.infer<typeof indexBody>): unknown {
    return offered(this.#service, 'models', PATH)()
      .filter((model) => ready !== true || model.ready)
      .map(({ name, version, ready: isReady, reason }) => ({
        name,
        version,
        state: isReady ? 'READY' : 'UNAVAILABLE',
        reason: reason ?? '',
      }));
  }

  async #change(
    call: 'load' | 'unload',
    model: string,
    { parameters }: z.infer<typeof loadBody>,
    signal: AbortSignal,
  ): Promise<object> {
    for (const [name, value] of Object.entries(parameters ?? {})) {
      const nothing = value === null || value === false;
      if (call === 'unload' && name === 'unload_dependents' && nothing) continue;
      const text = 'not offered: a model is what its files say';
      throw invalid(`parameters.${name}`, text);
    }
    if (call === 'load') await offered(this.#service, 'load', PATH)(model, signal);
    else await offered(this.#service, 'unload', PATH)(model);
    return {};
  }

  #logging(update: Readonly<Record<string, unknown>> | undefined): unknown {
    const control = this.#logControl;
    if (control === undefined) throw unimplemented('logging: settings of the log are not shown or changed here');
    if (update !== undefined) control.level = changedLevel(control.level, update);
    return logSettings(control.level);
  }

  async #memory({ kind, action, region }: MemoryRoute, { request, local, share }: ExtensionCall): Promise<unknown> {
    if (kind === 'cuda' && action === 'unregister') return {}; // clients begin with it, and there is nothing to unregister
    if (kind === 'cuda') throw unimplemented('CUDA shared memory is not offered; system shared memory may be');
    const regions = this.#sharedMemory;
    if (regions === undefined || !local) throw memoryRefusal(regions !== undefined, 'path');
    if (action === 'status') {
      return regions
        .status(region)
        .map(({ name, key, offset, byteSize }) => ({ name, key, offset, byte_size: byteSize }));
    }
    if (action === 'unregister') {
      await regions.unregister(region);
      return {};
    }
    if (region === undefined) throw invalid('region', 'register takes one by name');
    const { key, offset, byte_size: byteSize } = await readJson(request, share, registerBody);
    regions.register({ name: region, key, offset, byteSize });
    return {};
  }
}

function unimplemented(text: string): ServingError {
  return new ServingError('unimplemented', text, PATH);
}

/** Undefined = the settings are only read. */
async function updateOf(request: IncomingMessage, share: BodyShare): Promise<Record<string, unknown> | undefined> {
  return request.method === 'POST' ? readJson(request, share, settingsBody) : undefined;
}

/** Nothing at all is an empty object: clients send no body where they have nothing to say. */
async function readJson<T>(request: IncomingMessage, share: BodyShare, schema: z.ZodType<T>): Promise<T> {
  const body = await readBody(request, { bodyBytesMax: BODY_BYTES_MAX, what: 'such a request', jsonBytes: 0, share });
  let value: unknown;
  try {
    value = body.byteLength === 0 ? {} : JSON.parse(body.toString('utf8'));
  } catch (cause) {
    throw invalid('body', `not valid JSON: ${(cause as Error).message}`, cause);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw invalid(issue?.path.join('.') || 'body', issue?.message ?? 'wrong');
}

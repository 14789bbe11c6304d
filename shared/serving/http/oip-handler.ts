// The Open Inference Protocol v2 over plain node:http, for any InferenceService: agent and hub mount the same handler
// before their other routes. It parses, checks, bounds and answers; what is true of models is the service's. Invariants:
// every request gets exactly one answer, an error is never a bare 500 page, a body's bytes are given back to the budget
// however the request ends, and a client that goes away aborts its work.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../../system/clock.js';
import type { Log } from '../../system/log.js';
import type { TensorSpec } from '../../tensor/tensor.js';
import type { Tracer } from '../../tracing/span.js';
import type { InferenceService, ModelMetadata } from '../inference-service.js';
import type { LogControl } from '../log-settings.js';
import { asServingError, ServingError, shuttingDown, type ServingErrorCode } from '../serving-error.js';
import { OVER_HTTP } from '../request-trace.js';
import type { SharedMemoryRegions } from '../shared-memory.js';
import { BodyBudget, type BodyShare } from './body-budget.js';
import { clientOf } from './client-signal.js';
import { InferExchange } from './infer-exchange.js';
import { isLocalCaller, memoryAccess } from './memory-access.js';
import { methodsOf, OipExtensions } from './oip-extensions.js';
import type { OipLimits } from './oip-limits.js';
import { isOipTarget, parseOipRoute, type ExtensionRoute, type InferRoute, type PlainRoute } from './oip-route.js';
import { readJsonBytes } from './parse-infer.js';
import { readBody } from './read-body.js';
import { refuseUnread } from './refuse-unread.js';
import { giveBackOnceSent, sendAnswer, sendError, sendEvent, sendJson } from './send.js';

interface OipHandlerOptions {
  readonly service: InferenceService;
  readonly limits: OipLimits;
  /** Of all protocols of one server together; one of its own (`limits.bodiesBytesMax`) where none is given. */
  readonly budget?: BodyBudget;
  /** For a request that states no timeout. */
  readonly defaultTimeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Absent = nothing is told to tracing. */
  readonly tracer?: Tracer | undefined;
  /** Hears of each inference request that was refused, with the time since it had been read, or, with `unread`, since its head had. */
  readonly onRefused?: (code: ServingErrorCode, tookMs: number, unread: boolean) => void;
  readonly serverName: string;
  readonly serverVersion: string;
  /** For the logging extension; absent where callers may not change the log. */
  readonly logControl?: LogControl | undefined;
  /** Absent where memory can't be shared with callers. */
  readonly sharedMemory?: SharedMemoryRegions | undefined;
}

/** What the server that took the request knows of who sent it. */
interface Caller {
  readonly unixSocket?: boolean;
  /** Who it is, where token or certificate say it: its share of the machine is counted by this name. */
  readonly identity?: string;
}

export interface OipHandler {
  /** True when the request's path is the protocol's (`/v2...`); it is answered then. False: nothing was touched. */
  (request: IncomingMessage, response: ServerResponse, caller?: Caller): boolean;
  /** From now on new inference is refused with `not-ready` and the server reports that it isn't ready. */
  drain(): void;
  /** Inference requests that are being answered. */
  inFlight(): number;
}

export function createOipHandler(options: OipHandlerOptions): OipHandler {
  const front = new OipFront(options);
  const handler = (request: IncomingMessage, response: ServerResponse, caller?: Caller): boolean => {
    if (!isOipTarget(request.url ?? '')) return false;
    front.handle(request, response, isLocalCaller(request, caller?.unixSocket === true), caller?.identity);
    return true;
  };
  return Object.assign(handler, { drain: () => front.drain(), inFlight: () => front.inFlight });
}

class OipFront {
  readonly #options: OipHandlerOptions;
  readonly #budget: BodyBudget;
  readonly #extensions: OipExtensions;
  readonly #exchange: InferExchange;
  #draining = false;
  inFlight = 0;

  constructor(options: OipHandlerOptions) {
    this.#options = options;
    this.#budget = options.budget ?? new BodyBudget(options.limits.bodiesBytesMax);
    this.#extensions = new OipExtensions(options);
    this.#exchange = new InferExchange(options);
  }

  drain(): void {
    this.#draining = true;
  }

  handle(request: IncomingMessage, response: ServerResponse, local: boolean, identity: string | undefined): void {
    try {
      const route = parseOipRoute(request.url ?? '');
      if (isInference(route)) {
        if (!allowed(request, response, ['POST'])) return;
        void this.#infer(request, response, route, { local, identity });
        return;
      }
      if (isExtension(route)) void this.#extend(request, response, route, local);
      else this.#ask(request, response, route);
    } catch (error) {
      this.#refuse(request, response, error);
    }
  }

  #ask(request: IncomingMessage, response: ServerResponse, route: PlainRoute): void {
    const { service, serverName, serverVersion } = this.#options;
    if (route.call === 'unknown') {
      throw new ServingError('not-found', `no such path: ${request.url}`, { field: 'path' });
    }
    if (!allowed(request, response, ['GET'])) return;
    switch (route.call) {
      case 'server':
        sendJson(response, 200, { name: serverName, version: serverVersion, extensions: this.#extensions.names });
        return;
      case 'live':
        sendJson(response, 200, { live: true });
        return;
      case 'ready': {
        const ready = !this.#draining && service.ready();
        sendJson(response, ready ? 200 : 503, ready ? { ready } : { ready, error: 'the server is not ready' });
        return;
      }
      case 'metadata':
        sendJson(response, 200, metadataJson(service.metadata(route.model, route.version)));
        return;
      case 'model-ready': {
        const { name } = service.metadata(route.model, route.version);
        const ready = !this.#draining && service.modelReady(route.model, route.version);
        const error = `model ${JSON.stringify(name)} is not ready`;
        sendJson(response, ready ? 200 : 503, ready ? { name, ready } : { name, ready, error });
        return;
      }
    }
  }

  async #extend(
    request: IncomingMessage,
    response: ServerResponse,
    route: ExtensionRoute,
    local: boolean,
  ): Promise<void> {
    if (!allowed(request, response, methodsOf(route))) return;
    const share = this.#budget.open();
    const client = clientOf(request.socket);
    const signal = client.enter();
    try {
      sendJson(response, 200, await this.#extensions.answer(route, { request, local, share, signal }));
    } catch (error) {
      this.#refuse(request, response, error);
    } finally {
      share.release();
      client.leave();
    }
  }

  async #infer(
    request: IncomingMessage,
    response: ServerResponse,
    { call, model, version }: InferRoute,
    { local, identity }: { readonly local: boolean; readonly identity: string | undefined },
  ): Promise<void> {
    const arrivedMs = this.#options.clock.monotonicMs();
    const head = { headers: request.headers, model, version, identity, arrivedMs };
    const share = this.#budget.open();
    const client = clientOf(request.socket);
    const signal = client.enter();
    const { sharedMemory, limits } = this.#options;
    const memory = memoryAccess(sharedMemory, local, { bodyBytesMax: limits.bodyBytesMax, share });
    this.inFlight++;
    let unread = true;
    let sinceMs: number | undefined = arrivedMs;
    try {
      const refusal = this.#draining ? shuttingDown() : refuseUnread(head, this.#options);
      if (refusal !== undefined) throw refusal;
      sinceMs = undefined;
      const { body: received, jsonBytes } = await this.#read(request, share);
      unread = false;
      sinceMs = this.#options.clock.monotonicMs();
      const { headers } = request;
      const entrance = OVER_HTTP[call];
      const asked = { entrance, body: received, jsonBytes, headers, model, version, identity, arrivedMs, memory };
      const { body, provenance, spent } = await (call === 'infer'
        ? this.#exchange.answer(asked, signal)
        : this.#exchange.generate(asked, signal));
      if (call === 'generate-stream') sendEvent(response, body.json, provenance);
      else await sendAnswer(request, response, body, provenance);
      if (spent !== undefined) giveBackOnceSent(response, spent);
    } catch (error) {
      const { code } = this.#refuse(request, response, error);
      if (sinceMs !== undefined) this.#options.onRefused?.(code, this.#options.clock.monotonicMs() - sinceMs, unread);
    } finally {
      memory.release();
      share.release();
      client.leave();
      this.inFlight--;
    }
  }

  async #read(
    request: IncomingMessage,
    share: BodyShare,
  ): Promise<{ readonly body: Buffer; readonly jsonBytes: number | undefined }> {
    const jsonBytes = readJsonBytes(request.headers);
    const { bodyBytesMax, jsonBytesMax } = this.#options.limits;
    const allJson = jsonBytes === undefined && jsonBytesMax < bodyBytesMax;
    const body = await readBody(request, {
      bodyBytesMax: allJson ? jsonBytesMax : bodyBytesMax,
      what: allJson ? 'a request body that is all JSON (send large tensors as binary data)' : 'a request body',
      jsonBytes: jsonBytes ?? 0,
      share,
    });
    return { body, jsonBytes };
  }

  #refuse(request: IncomingMessage, response: ServerResponse, error: unknown): ServingError {
    const { clock, limits, log } = this.#options;
    const refusal = asServingError(error, log, 'an inference request', { url: request.url });
    sendError(request, response, refusal, clock, limits.lingerMs);
    return refusal;
  }
}

/** Answers 405 itself where the method is another. */
function allowed(request: IncomingMessage, response: ServerResponse, methods: readonly ('GET' | 'POST')[]): boolean {
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  if (methods.some((candidate) => candidate === method)) return true;
  const list = methods.join(', ');
  sendJson(response, 405, { error: `method: ${request.method} is not allowed here, ${list} is` }, list);
  return false;
}

function isInference(route: PlainRoute | ExtensionRoute | InferRoute): route is InferRoute {
  return route.call === 'infer' || route.call === 'generate' || route.call === 'generate-stream';
}

const PLAIN_CALLS: ReadonlySet<string> = new Set(['server', 'live', 'ready', 'metadata', 'model-ready', 'unknown']);

function isExtension(route: PlainRoute | ExtensionRoute): route is ExtensionRoute {
  return !PLAIN_CALLS.has(route.call);
}

function metadataJson(metadata: ModelMetadata): unknown {
  const { name, versions, platform, inputs, outputs } = metadata;
  const spec = ({ name, datatype, shape }: TensorSpec): unknown => ({ name, datatype, shape });
  return { name, versions, platform, inputs: inputs.map(spec), outputs: outputs.map(spec) };
}

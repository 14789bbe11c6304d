// Every HTTP request to the agent, over TCP or the unix socket: access first, then the protocol, metrics and the agent's own
// routes. gRPC gets a server of its own beside this one; what both call is the InferenceService.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { OipHandler } from '@tidegate/shared/serving/http/oip-handler.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { decideAccess } from './access.js';
import { answerAgentRoute, releasedModel, releaseModel, type AgentRoutesModules } from './agent-routes.js';
import { dropFromCache } from './cache-routes.js';
import type { Metrics } from './metrics.js';

interface AgentFrontModules {
  readonly oip: OipHandler;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly apiToken: string | undefined;
  readonly status: AgentRoutesModules;
}

export class AgentFront {
  readonly #modules: AgentFrontModules;

  constructor(modules: AgentFrontModules) {
    this.#modules = modules;
  }

  readonly overTcp = (request: IncomingMessage, response: ServerResponse): void => {
    this.#handle(request, response, false);
  };

  readonly overUnixSocket = (request: IncomingMessage, response: ServerResponse): void => {
    this.#handle(request, response, true);
  };

  #handle(request: IncomingMessage, response: ServerResponse, unixSocket: boolean): void {
    const access = decideAccess(request, { apiToken: this.#modules.apiToken, unixSocket });
    if (!access.allowed) {
      const challenge = access.status === 401 ? { 'www-authenticate': 'Bearer' } : {};
      send(request, response, access.status, { error: access.error }, challenge);
      return;
    }
    if (this.#modules.oip(request, response, { unixSocket })) return;
    const url = request.url ?? '/';
    const path = url.split('?', 1)[0] ?? '/';
    const released = releasedModel(path);
    if (request.method === 'DELETE' && path === '/agent/v1/cache') {
      const { status, body } = dropFromCache(url.slice(path.length), this.#modules.status.cache);
      send(request, response, status, body);
    } else if (request.method === 'POST' && released !== undefined) {
      const { status, body } = releaseModel(released, this.#modules.status.slots);
      send(request, response, status, body);
    } else if (released !== undefined || (request.method !== 'GET' && request.method !== 'HEAD')) {
      const allow = released !== undefined ? 'POST' : path === '/agent/v1/cache' ? 'GET, DELETE' : 'GET';
      send(request, response, 405, { error: `method: ${request.method} is not allowed here, ${allow} is` }, { allow });
    } else if (path === '/metrics') {
      void this.#sendMetrics(request, response);
    } else {
      const { status, body } = answerAgentRoute(path, this.#modules.status);
      send(request, response, status, body);
    }
  }

  async #sendMetrics(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const text = await this.#modules.metrics.text();
      response.writeHead(200, { 'content-type': this.#modules.metrics.contentType });
      response.end(text);
    } catch (error) {
      this.#modules.log.error({ error: String(error) }, 'metrics failed');
      send(request, response, 500, { error: 'metrics failed' });
    }
  }
}

/** Answers JSON; a body that was not read is not waited for. */
function send(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...(request.method === 'GET' || request.method === 'HEAD' ? {} : { connection: 'close' }),
    ...headers,
  });
  response.end(text);
}

// What the hub's one HTTP port answers: `/api` the admin API, `/v2` inference, `/metrics`, the live channel as an upgrade, everything
// else the console. It only sorts requests, and asks for the token where a protocol front has none of its own.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { OipHandler } from '@tidegate/shared/serving/http/oip-handler.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { bearerOf, mayUse, type Tokens } from '../security/tokens.js';
import type { Api } from './api.js';
import type { Area, HubMetrics } from './hub-metrics.js';
import type { LiveChannel } from './live.js';
import type { StaticFiles } from './static-files.js';

interface HubFrontModules {
  readonly api: Pick<Api, 'routing'>;
  readonly live: LiveChannel;
  readonly tokens: Pick<Tokens, 'verify'>;
  readonly console: StaticFiles;
  readonly metrics: HubMetrics;
  /** The Open Inference Protocol over the hub's models. */
  readonly inference: OipHandler;
  readonly log: Log;
}

export class HubFront {
  readonly #modules: HubFrontModules;

  constructor(modules: HubFrontModules) {
    this.#modules = modules;
  }

  readonly handle = (request: IncomingMessage, response: ServerResponse): void => {
    this.#route(request, response).catch((cause: unknown) => {
      this.#modules.log.error({ err: cause, url: request.url }, 'a request failed');
      if (response.headersSent) response.destroy();
      else sendError(response, 500, 'the hub failed; its log says why');
    });
  };

  readonly upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    this.#modules.live.upgrade(request, socket, head).catch((cause: unknown) => {
      this.#modules.log.error({ err: cause }, 'an upgrade failed');
      socket.destroy();
    });
  };

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '/').split('?')[0] ?? '/';
    const area = areaOf(path);
    response.once('finish', () => this.#modules.metrics.answered(area, response.statusCode));
    if (area === 'api') this.#modules.api.routing(request, response);
    else if (area === 'v2') await this.#infer(request, response, path);
    else if (area === 'metrics') await this.#metrics(response);
    else this.#modules.console.answer(request, response);
  }

  /** Health needs no token: probes have none, and it tells nothing. */
  async #infer(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const { tokens, inference } = this.#modules;
    if (path === '/v2/health/live' || path === '/v2/health/ready') {
      inference(request, response);
      return;
    }
    const token = bearerOf(request.headers.authorization);
    const caller = token === undefined ? undefined : await tokens.verify(token);
    if (caller === undefined) {
      response.setHeader('www-authenticate', 'Bearer realm="tidegate"');
      sendError(response, 401, 'a valid bearer token with the scope infer is needed');
    } else if (!mayUse(caller, 'infer')) sendError(response, 403, 'the token lacks the scope infer');
    else inference(request, response, { identity: caller.actor });
  }

  async #metrics(response: ServerResponse): Promise<void> {
    const { text, type } = await this.#modules.metrics.text();
    response.writeHead(200, { 'content-type': type }).end(text);
  }
}

function areaOf(path: string): Area {
  if (path === '/api' || path.startsWith('/api/')) return 'api';
  if (path === '/v2' || path.startsWith('/v2/')) return 'v2';
  return path === '/metrics' ? 'metrics' : 'console';
}

/** In the protocol's own form, which its clients show. The request's body was not read, so the connection ends. */
function sendError(response: ServerResponse, status: number, error: string): void {
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify({ error }));
}

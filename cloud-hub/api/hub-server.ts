// The hub's one HTTP server: `/api` to the admin API, `/v2` to inference, `/metrics`, the live channel, everything else the console.
// It only sorts requests; closing stops accepting and waits for what was accepted.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Log } from '@tidegate/shared/system/log.js';
import { bearerOf, mayUse, type Tokens } from '../security/tokens.js';
import type { Api } from './api.js';
import type { LiveChannel } from './live.js';
import type { StaticFiles } from './static-files.js';

export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

export interface HubServerModules {
  readonly api: Pick<Api, 'routing'>;
  readonly live: LiveChannel;
  readonly tokens: Pick<Tokens, 'verify'>;
  readonly console: StaticFiles;
  /** Text of the metrics and its content type. */
  readonly metrics: () => Promise<{ readonly text: string; readonly type: string }>;
  /** The Open Inference Protocol over the hub's models. */
  readonly inference: HttpHandler;
  readonly log: Log;
}

export class HubServer {
  readonly #modules: HubServerModules;
  readonly #server: Server;

  constructor(modules: HubServerModules) {
    this.#modules = modules;
    // A body may take as long as it needs; one that stalls is ended by the idle timeout.
    this.#server = createServer({ requestTimeout: 0, headersTimeout: 30_000, keepAliveTimeout: 65_000 });
    this.#server.timeout = 120_000;
    this.#server.on('request', (request, response) => {
      this.#route(request, response).catch((cause: unknown) => this.#failed(cause, response));
    });
    this.#server.on('upgrade', (request, socket, head) => {
      modules.live.upgrade(request, socket, head).catch((cause: unknown) => {
        modules.log.error({ err: cause }, 'an upgrade failed');
        socket.destroy();
      });
    });
  }

  /** Rejects where the port is taken. Returns `host:port`. */
  async listen(host: string, port: number): Promise<string> {
    this.#server.listen(port, host);
    await once(this.#server, 'listening');
    const address = this.#server.address() as AddressInfo;
    return `${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`;
  }

  /** Resolves when the last accepted request is answered; idle connections are closed at once. */
  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeIdleConnections();
    await closed;
  }

  /** Ends what `close` still waits for. */
  abort(): void {
    this.#server.closeAllConnections();
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '/').split('?')[0] ?? '/';
    if (isUnder(path, '/api')) this.#modules.api.routing(request, response);
    else if (isUnder(path, '/v2')) await this.#infer(request, response);
    else if (path === '/metrics') await this.#metrics(response);
    else this.#modules.console.answer(request, response);
  }

  async #infer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const token = bearerOf(request.headers.authorization);
    const caller = token === undefined ? undefined : await this.#modules.tokens.verify(token);
    if (caller !== undefined && mayUse(caller, 'infer')) return this.#modules.inference(request, response);
    // The protocol's own form of errors, which its clients show. The body is not read.
    const text =
      caller === undefined ? 'a valid bearer token with the scope infer is needed' : 'the token lacks the scope infer';
    response.writeHead(caller === undefined ? 401 : 403, {
      'content-type': 'application/json',
      connection: 'close',
      ...(caller === undefined ? { 'www-authenticate': 'Bearer realm="tidegate"' } : {}),
    });
    response.end(JSON.stringify({ error: text }));
  }

  async #metrics(response: ServerResponse): Promise<void> {
    const { text, type } = await this.#modules.metrics();
    response.writeHead(200, { 'content-type': type }).end(text);
  }

  #failed(cause: unknown, response: ServerResponse): void {
    this.#modules.log.error({ err: cause }, 'a request failed');
    if (response.headersSent) response.destroy();
    else
      response.writeHead(500, { 'content-type': 'application/json' }).end(JSON.stringify({ error: 'the hub failed' }));
  }
}

function isUnder(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(`${prefix}/`);
}

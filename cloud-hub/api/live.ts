// `GET /api/v1/live`: a WebSocket that sends LiveEvents to callers with the scope `read`. A browser can't set headers on a WebSocket,
// so the token may also come as a subprotocol: `new WebSocket(url, ['tidegate.live.v1', 'tidegate.token.' + token])`.
// Nothing is read from clients. One that doesn't take its events is dropped: events hold whole objects, so it can
// come again and read the lists.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { liveEventSchema, type LiveEvent } from '@tidegate/shared/wire/admin-api.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { WebSocketServer, type WebSocket } from 'ws';
import type { HubEvents } from '../hub-events.js';
import { bearerOf, mayUse, type Tokens } from '../security/tokens.js';

export const LIVE_PATH = '/api/v1/live';
export const LIVE_PROTOCOL = 'tidegate.live.v1';
const TOKEN_PROTOCOL = 'tidegate.token.';
const LIMIT_CLIENTS = 256;
/** Bytes that may wait for a client that doesn't read. */
const LIMIT_WAITING_BYTES = 4 * 1024 * 1024;
const PING_INTERVAL_MS = 30_000;

interface LiveModules {
  readonly tokens: Pick<Tokens, 'verify'>;
  readonly events: HubEvents;
  readonly clock: Clock;
  readonly log: Log;
}

interface Client {
  readonly socket: WebSocket;
  alive: boolean;
}

export class LiveChannel {
  readonly #modules: LiveModules;
  readonly #clients = new Set<Client>();
  readonly #server = new WebSocketServer({
    noServer: true,
    maxPayload: 1024,
    handleProtocols: (offered) => (offered.has(LIVE_PROTOCOL) ? LIVE_PROTOCOL : false),
  });
  readonly #unsubscribe: () => void;
  #cancelPing: () => void = () => undefined;

  constructor(modules: LiveModules) {
    this.#modules = modules;
    this.#unsubscribe = modules.events.on((event) => this.#broadcast(event));
    this.#schedulePing();
  }

  get clientCount(): number {
    return this.#clients.size;
  }

  /** For the server's `upgrade` event. Answers refusals itself. */
  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy());
    const status = await this.#refusal(request);
    if (status !== undefined) {
      socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    this.#server.handleUpgrade(request, socket, head, (accepted) => this.#accept(accepted));
  }

  close(): void {
    this.#unsubscribe();
    this.#cancelPing();
    for (const { socket } of this.#clients) socket.close(1001, 'the hub stops');
    this.#server.close();
  }

  async #refusal(request: IncomingMessage): Promise<string | undefined> {
    if (request.url?.split('?')[0] !== LIVE_PATH) return '404 Not Found';
    const token =
      bearerOf(request.headers.authorization) ?? tokenOfProtocols(request.headers['sec-websocket-protocol']);
    const caller = token === undefined ? undefined : await this.#modules.tokens.verify(token);
    if (caller === undefined) return '401 Unauthorized';
    if (!mayUse(caller, 'read')) return '403 Forbidden';
    return this.#clients.size >= LIMIT_CLIENTS ? '503 Service Unavailable' : undefined;
  }

  #accept(socket: WebSocket): void {
    const client: Client = { socket, alive: true };
    this.#clients.add(client);
    socket.on('pong', () => (client.alive = true));
    socket.on('error', (cause) => this.#modules.log.debug({ err: cause }, 'a live client failed'));
    socket.on('close', () => this.#clients.delete(client));
  }

  #broadcast(event: LiveEvent): void {
    if (this.#clients.size === 0) return;
    const text = JSON.stringify(liveEventSchema.parse(event));
    for (const { socket } of this.#clients) {
      if (socket.bufferedAmount > LIMIT_WAITING_BYTES) socket.terminate();
      else socket.send(text);
    }
  }

  /** Finds clients that are gone without a word. */
  #schedulePing(): void {
    this.#cancelPing = this.#modules.clock.after(PING_INTERVAL_MS, () => {
      for (const client of this.#clients) {
        if (!client.alive) client.socket.terminate();
        client.alive = false;
        client.socket.ping();
      }
      this.#schedulePing();
    });
  }
}

function tokenOfProtocols(header: string | undefined): string | undefined {
  const offered = (header ?? '').split(',').map((part) => part.trim());
  return offered.find((part) => part.startsWith(TOKEN_PROTOCOL))?.slice(TOKEN_PROTOCOL.length);
}

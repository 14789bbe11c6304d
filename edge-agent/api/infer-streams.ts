// `/v2/stream`: inference over WebSocket (docs/protocol.md). Upgrades pass the same access check as requests; the model may
// be named once in the address (`?model=NAME&version=N`) or by each frame. At most CONNECTIONS_MAX at one time.
import { STATUS_CODES, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { isLocalCaller } from '@tidegate/shared/serving/http/memory-access.js';
import type { OipLimits } from '@tidegate/shared/serving/http/oip-limits.js';
import { InferExchange } from '@tidegate/shared/serving/http/infer-exchange.js';
import type { BodyBudget } from '@tidegate/shared/serving/http/body-budget.js';
import { onWebSocketUpgrade } from '@tidegate/shared/serving/http/websocket-upgrade.js';
import type { InferenceService } from '@tidegate/shared/serving/inference-service.js';
import type { SharedMemoryRegions } from '@tidegate/shared/serving/shared-memory.js';
import type { Tracer } from '@tidegate/shared/tracing/span.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { decideAccess } from './access.js';
import { StreamConnection, type StreamLimits, type StreamTarget } from './stream-connection.js';

const PATH = '/v2/stream';
const CONNECTIONS_MAX = 64;
/** A frame that is still coming is in no budget; connections times this bounds what all of them hold. */
const FRAME_BYTES_MAX = 16 * 1024 * 1024;
const DEFAULT_LIMITS: Omit<StreamLimits, 'frameBytesMax' | 'sharedBytesMax'> = {
  inFlightMax: 16,
  pingIntervalMs: 30_000,
  idleTimeoutMs: 600_000,
};

interface InferStreamsOptions {
  readonly service: InferenceService;
  readonly limits: OipLimits;
  readonly budget: BodyBudget;
  readonly defaultTimeoutMs: number;
  readonly sharedMemory: SharedMemoryRegions | undefined;
  readonly tracer?: Tracer | undefined;
  readonly apiToken: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly stream?: Partial<StreamLimits>;
}

export class InferStreams {
  readonly #options: InferStreamsOptions;
  readonly #limits: StreamLimits;
  readonly #exchange: InferExchange;
  readonly #server: WebSocketServer;
  readonly #connections = new Set<StreamConnection>();
  #opened = 0;
  #draining = false;
  #onEmpty: () => void = () => undefined;

  constructor(options: InferStreamsOptions) {
    this.#options = options;
    const { bodyBytesMax: sharedBytesMax } = options.limits;
    const frameBytesMax = Math.min(FRAME_BYTES_MAX, sharedBytesMax);
    this.#limits = { ...DEFAULT_LIMITS, frameBytesMax, sharedBytesMax, ...options.stream };
    this.#exchange = new InferExchange(options);
    this.#server = new WebSocketServer({
      noServer: true,
      maxPayload: this.#limits.frameBytesMax,
      perMessageDeflate: false,
      clientTracking: true,
    });
  }

  /** Takes the upgrades of a server; those to other paths are refused, those to other protocols ignored. */
  attach(server: Pick<Server, 'on' | 'emit'>, unixSocket: boolean): void {
    onWebSocketUpgrade(server, (request, socket, head) => {
      socket.on('error', () => socket.destroy()); // a client that resets is nobody to answer
      const status = this.#refusal(request, unixSocket);
      if (status !== undefined) refuse(socket, status);
      else this.#open(request, socket, head, unixSocket);
    });
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Answers what was accepted and closes every connection with 1001; cuts those that are left after `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    this.#draining = true;
    if (this.#connections.size === 0) return;
    const empty = new Promise<void>((resolve) => (this.#onEmpty = resolve));
    const cancel = this.#options.clock.after(timeoutMs, () => {
      for (const client of this.#server.clients) client.terminate();
    });
    for (const connection of this.#connections) connection.drain();
    await empty;
    cancel();
  }

  #refusal(request: IncomingMessage, unixSocket: boolean): number | undefined {
    const access = decideAccess(request, { apiToken: this.#options.apiToken, unixSocket });
    if (!access.allowed) return access.status;
    if ((request.url ?? '').split('?', 1)[0] !== PATH) return 404;
    return this.#draining || this.#connections.size >= CONNECTIONS_MAX ? 503 : undefined;
  }

  #open(request: IncomingMessage, socket: Duplex, head: Buffer, unixSocket: boolean): void {
    const { budget, sharedMemory, clock, log } = this.#options;
    const modules = { exchange: this.#exchange, budget, sharedMemory, clock, log };
    this.#opened += 1;
    const target = targetOf(request, unixSocket, `stream-${this.#opened}`);
    this.#server.handleUpgrade(request, socket, head, (webSocket) => {
      const connection = new StreamConnection(webSocket, target, this.#limits, modules);
      this.#connections.add(connection);
      webSocket.once('close', () => {
        this.#connections.delete(connection);
        this.#options.service.endSequences?.(target.scope);
        if (this.#connections.size === 0) this.#onEmpty();
      });
    });
  }
}

function targetOf(request: IncomingMessage, unixSocket: boolean, scope: string): StreamTarget {
  const query = new URLSearchParams((request.url ?? '').split('?')[1] ?? '');
  return {
    headers: request.headers,
    model: query.get('model') ?? undefined,
    version: query.get('version') ?? undefined,
    local: isLocalCaller(request, unixSocket),
    scope,
  };
}

function refuse(socket: Duplex, status: number): void {
  const body = JSON.stringify({ error: `${PATH}: ${STATUS_CODES[status]}` });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

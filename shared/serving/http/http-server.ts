// A node:http server with bounds on what a stranger can hold open, and an orderly end: stop accepting, finish what was
// accepted, close. Slow senders are cut by `requestTimeout`, slow headers by `headersTimeout` (RFC 9110 says nothing;
// slowloris does). Listens on a port or on a unix socket, with or without TLS.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions as TlsServerOptions } from 'node:https';
import { Server as NetServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Duplex } from 'node:stream';

type HttpServerErrorCode = 'port-taken' | 'address-unusable' | 'listen-failed';

export class HttpServerError extends Error {
  override readonly name = 'HttpServerError';
  readonly code: HttpServerErrorCode;
  constructor(code: HttpServerErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
  }
}

interface HttpServerOptions {
  readonly handler: (request: IncomingMessage, response: ServerResponse) => void;
  /** A port (0 = a free one) on a host, or the path of a unix socket. */
  readonly listen: { readonly host: string; readonly port: number } | { readonly path: string };
  /** The setting that chose it, for error messages: `--http-port`. */
  readonly flag: string;
  readonly tls?: TlsServerOptions;
  readonly limits?: Partial<HttpServerLimits>;
}

interface HttpServerLimits {
  readonly headersTimeoutMs: number;
  /** The whole request, body included, must be here by then. */
  readonly requestTimeoutMs: number;
  /** How often both timeouts are looked at. */
  readonly timeoutCheckMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly headerBytesMax: number;
  readonly connectionsMax: number;
  /** While closing, how long an idle connection is kept for the request that may be on its way: it is answered instead of reset. */
  readonly idleGraceMs: number;
}

const DEFAULT_LIMITS: HttpServerLimits = {
  headersTimeoutMs: 15_000,
  requestTimeoutMs: 120_000,
  timeoutCheckMs: 5_000,
  keepAliveTimeoutMs: 65_000,
  headerBytesMax: 32 * 1024,
  connectionsMax: 4096,
  idleGraceMs: 0,
};

/** Of a server whose callers keep connections and ask all the time. */
export const IDLE_GRACE_MS = 100;

const IDLE_SWEEP_MS = 20;
/** What one read of a socket gives. Below it, Node stops and starts reading for each body whose first piece came with its head. */
const READ_BYTES = 64 * 1024;

export interface HttpServer {
  /** For upgrades (WebSocket). */
  readonly server: Server;
  /** `127.0.0.1:8000`, `[::1]:8000`, or the unix socket's path. */
  readonly address: string;
  readonly port: number;
  /** Stops accepting and waits for what was accepted; connections still open after `drainTimeoutMs` are cut. */
  close(drainTimeoutMs: number): Promise<void>;
}

/** Resolves once the server listens. Rejects with HttpServerError that names the flag and the port. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  let closing = false;
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    if (closing) response.shouldKeepAlive = false;
    options.handler(request, response);
  };
  const settings = {
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    connectionsCheckingInterval: limits.timeoutCheckMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    maxHeaderSize: limits.headerBytesMax,
    noDelay: true,
    highWaterMark: READ_BYTES,
  };
  const server: Server =
    options.tls === undefined
      ? createServer(settings, onRequest)
      : createTlsServer({ ...settings, ...options.tls }, onRequest);
  server.maxConnections = limits.connectionsMax;
  server.on('clientError', answerBrokenRequest);
  await listen(server, options);
  const address = server.address();
  return {
    server,
    address: addressText(address),
    port: typeof address === 'object' && address !== null ? address.port : 0,
    close: async (drainTimeoutMs) => {
      closing = true;
      // http's own close would cut idle connections at once
      const closed = new Promise<void>((resolve) => NetServer.prototype.close.call(server, () => resolve()));
      await Promise.race([closed, delay(Math.min(limits.idleGraceMs, drainTimeoutMs))]);
      server.close(() => undefined); // does so now, and ends its timer
      // A connection whose last answer promised keep-alive becomes idle only after it; nobody announces that.
      const sweep = setInterval(() => server.closeIdleConnections(), IDLE_SWEEP_MS);
      const cut = setTimeout(() => server.closeAllConnections(), drainTimeoutMs);
      try {
        await closed;
      } finally {
        clearInterval(sweep);
        clearTimeout(cut);
      }
    },
  };
}

/** Rejects with HttpServerError that names the flag and the address. */
export function listen(server: NetServer, { listen, flag }: Pick<HttpServerOptions, 'listen' | 'flag'>): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (cause: NodeJS.ErrnoException): void => reject(listenError(cause, listen, flag));
    server.once('error', onError);
    server.listen(listen, () => {
      server.off('error', onError);
      resolve();
    });
  });
}

function listenError(cause: NodeJS.ErrnoException, listen: HttpServerOptions['listen'], flag: string): HttpServerError {
  const where = 'path' in listen ? listen.path : `${listen.host}:${listen.port}`;
  switch (cause.code) {
    case 'EADDRINUSE':
      return new HttpServerError('port-taken', `${flag}: ${where} is taken by another program`, { cause });
    case 'EACCES':
      return new HttpServerError('address-unusable', `${flag}: no permission to listen on ${where}`, { cause });
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new HttpServerError('address-unusable', `${flag}: this machine has no address ${where}`, { cause });
    default:
      return new HttpServerError('listen-failed', `${flag}: can't listen on ${where}: ${cause.message}`, { cause });
  }
}

export function addressText(address: AddressInfo | string | null): string {
  if (address === null) return '';
  if (typeof address === 'string') return address;
  return address.family === 'IPv6' ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}

const BROKEN_STATUS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

/** What can't be parsed as HTTP, or came too slowly, is told so in the protocol's own form. */
function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable || (socket as Socket).bytesWritten > 0) {
    socket.destroy();
    return;
  }
  const status = BROKEN_STATUS[error.code ?? ''] ?? '400 Bad Request';
  const body = JSON.stringify({ error: `not a valid HTTP request: ${error.message}` });
  const head = `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}`;
  socket.end(`${head}\r\nConnection: close\r\n\r\n${body}`);
}

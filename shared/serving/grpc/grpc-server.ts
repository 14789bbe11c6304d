// A gRPC server with the same bounds and the same orderly end as the HTTP server beside it: stop accepting, tell clients to go
// elsewhere (GOAWAY), finish what was accepted, close. Cleartext HTTP/2 on a port; a browser can't speak it, so no page from
// elsewhere gets here. This folder is the only one that knows grpc-js, and loads it only where a server is wanted.
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { createServer, type Socket } from 'node:net';
import type { Clock } from '../../system/clock.js';
import type { Log } from '../../system/log.js';
import type { Tracer } from '../../tracing/span.js';
import type { BodyBudget } from '../http/body-budget.js';
import { addressText, listen } from '../http/http-server.js';
import type { OipLimits } from '../http/oip-limits.js';
import type { InferenceService } from '../inference-service.js';
import type { LogControl } from '../log-settings.js';
import type { SharedMemoryRegions } from '../shared-memory.js';
import { GrpcFront } from './grpc-front.js';
import { guardCalls, type Access } from './guarded-call.js';
import { Health } from './health.js';
import { HEALTH_PATHS, HEALTH_SERVICE, INFERENCE_SERVICE } from './methods.js';

export interface GrpcServerOptions {
  readonly service: InferenceService;
  readonly access: Access;
  readonly limits: OipLimits;
  /** Bytes in flight over all protocols. */
  readonly budget: BodyBudget;
  /** For a request that states no timeout, in itself or as its call's deadline. */
  readonly defaultTimeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Absent = nothing is told to tracing. */
  readonly tracer?: Tracer | undefined;
  /** For the logging extension; absent where callers may not change the log. */
  readonly logControl?: LogControl | undefined;
  /** Absent where memory can't be shared with callers. */
  readonly sharedMemory?: SharedMemoryRegions | undefined;
  readonly serverName: string;
  readonly serverVersion: string;
  readonly listen: { readonly host: string; readonly port: number };
}

const FLAG = '--grpc-port';
const CONNECTIONS_MAX = 4096;
/** Calls at one time on one connection. Beyond: the client waits, as HTTP/2 has it. */
const CALLS_PER_CONNECTION_MAX = 128;
/** Requests of one stream that are answered at one time. Beyond: they stay with the client. */
const STREAM_MESSAGES_MAX = 16;
/** Who doesn't answer a ping for so long has gone, and its work with it. */
const PING_EVERY_MS = 60_000;
const PING_TIMEOUT_MS = 20_000;

export interface GrpcServer {
  /** `127.0.0.1:8001`. */
  readonly address: string;
  /** Inference requests that are being answered. */
  inFlight(): number;
  /** Stops accepting and waits for what was accepted; calls still open after `drainTimeoutMs` are cut. */
  close(drainTimeoutMs: number): Promise<void>;
}

/** Resolves once the server listens. Rejects with HttpServerError that names the flag and the port. */
export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const { service, access, limits, budget, clock } = options;
  const front = new GrpcFront({ ...options, timeoutMsMax: limits.timeoutMsMax, bodyBytesMax: limits.bodyBytesMax });
  const health = new Health({ service, access, draining: () => front.draining, clock });
  const guard = guardCalls({ access, budget, streamMessagesMax: STREAM_MESSAGES_MAX, healthPaths: HEALTH_PATHS });
  const server = new Server({
    interceptors: [guard],
    'grpc.max_receive_message_length': limits.bodyBytesMax,
    'grpc.max_send_message_length': -1,
    'grpc.max_concurrent_streams': CALLS_PER_CONNECTION_MAX,
    'grpc.keepalive_time_ms': PING_EVERY_MS,
    'grpc.keepalive_timeout_ms': PING_TIMEOUT_MS,
    'grpc.enable_channelz': 0,
  });
  server.addService(INFERENCE_SERVICE, front.implementation());
  server.addService(HEALTH_SERVICE, { Check: health.check, Watch: health.watch });
  const connections = server.createConnectionInjector(ServerCredentials.createInsecure());
  const open = new Set<Socket>();
  const sockets = createServer({ noDelay: true }, (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    connections.injectConnection(socket);
  });
  sockets.maxConnections = CONNECTIONS_MAX;
  await listen(sockets, { listen: options.listen, flag: FLAG });
  return {
    address: addressText(sockets.address()),
    inFlight: () => front.inFlight,
    close: async (drainTimeoutMs) => {
      const closed = new Promise<void>((resolve) => sockets.close(() => resolve()));
      front.drain();
      health.drain();
      server.tryShutdown(() => undefined); // each connection closes after its last call
      const cut = setTimeout(() => {
        server.forceShutdown();
        for (const socket of open) socket.destroy();
      }, drainTimeoutMs);
      try {
        await closed;
      } finally {
        clearTimeout(cut);
      }
    },
  };
}

// The port that devices call: HTTPS with the hub's own certificate, client certificates asked for and judged per connection.
// Its certificate is made at the start and anew while it runs, so it never ends; devices trust the CA, not the certificate.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server as TlsHttpServer } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { startHttpServer, type HttpServer } from '@tidegate/shared/serving/http/http-server.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { CertificateAuthority } from '../../security/certificate-authority.js';
import { peerOf, type Peer } from '../../security/device-certificate.js';
import { renewingServerIdentity } from '../../security/server-identity.js';
import { DeviceError, refusalOf, sendRefusal } from './device-error.js';
import { DeviceRoutes, type DeviceRoutesModules } from './device-routes.js';

/** A sample of LIMIT_SAMPLE_BYTES over 16 KiB a second, which a device still waits for, takes 512 s. */
const REQUEST_TIMEOUT_MS = 600_000;

interface DevicePortOptions {
  readonly host: string;
  readonly port: number;
  /** Names and addresses by which devices reach this hub; they go into its certificate. */
  readonly names: readonly string[];
}

interface DevicePortModules extends Omit<DeviceRoutesModules, 'ca'> {
  readonly ca: CertificateAuthority;
  readonly clock: Clock;
  readonly log: Log;
}

export interface DevicePort {
  /** `127.0.0.1:9443` */
  readonly address: string;
  readonly port: number;
  /** Stops accepting, lets requests under way finish for so long, then cuts them. */
  close(drainTimeoutMs: number): Promise<void>;
}

/** Resolves once it listens. Rejects with HttpServerError (port taken ...) or SecurityError (no keys). */
export async function createDevicePort(options: DevicePortOptions, modules: DevicePortModules): Promise<DevicePort> {
  const { ca, clock, log } = modules;
  const identity = await renewingServerIdentity(options.names, { ca, clock, log });
  const routes = new DeviceRoutes(modules);
  const peers = new WeakMap<object, Peer>();
  const peer = (socket: TLSSocket): Peer => {
    const known = peers.get(socket);
    if (known?.kind === 'foreign' || known?.kind === 'none') return known;
    const judged = peerOf(socket.getPeerX509Certificate(), ca, clock.nowMs());
    peers.set(socket, judged);
    return judged;
  };
  const handler = (request: IncomingMessage, response: ServerResponse): void => {
    routes.answer(request, response, peer(request.socket as TLSSocket)).catch((cause: unknown) => {
      refuse(request, response, cause, log);
    });
  };
  let http: HttpServer;
  try {
    http = await startHttpServer({
      handler,
      listen: { host: options.host, port: options.port },
      flag: '--device-port',
      limits: { requestTimeoutMs: REQUEST_TIMEOUT_MS },
      tls: { ...identity.tls(), requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2' },
    });
  } catch (cause) {
    identity.close();
    throw cause;
  }
  identity.onRenewed((tls) => (http.server as unknown as TlsHttpServer).setSecureContext(tls));
  return {
    address: http.address,
    port: http.port,
    close: (drainTimeoutMs) => {
      identity.close();
      return http.close(drainTimeoutMs);
    },
  };
}

function refuse(request: IncomingMessage, response: ServerResponse, cause: unknown, log: Log): void {
  const refusal = refusalOf(cause);
  if (refusal === undefined && !request.destroyed)
    log.error({ err: cause, url: request.url }, 'a device request failed');
  if (response.headersSent) {
    response.destroy(); // the answer was cut off in the middle; the device sees that it is short
    return;
  }
  for (const name of response.getHeaderNames()) response.removeHeader(name);
  // What is left of the body isn't read; keeping the connection would read it as the next request.
  if (!request.complete) response.shouldKeepAlive = false;
  sendRefusal(response, refusal ?? new DeviceError(500, 'internal', 'the hub failed; its log says why'));
}

// Connections to the hub, with the device's certificate and the pinned CA. Two forms of the same: a dispatcher for HTTPS (undici)
// and a socket for MQTT. Node is told not to judge, because it would judge by the wall clock; nothing is sent before
// `judgeHub` has (hub-certificate.ts).
import { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { connect, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import { Agent, buildConnector } from 'undici';
import type { Clock } from '@tidegate/shared/system/clock.js';
import { judgeHub, type HubPresented, type PinnedCa } from './hub-certificate.js';
import { IdentityError } from './identity-error.js';
import type { Identity } from './identity.js';

const CONNECT_TIMEOUT_MS = 10_000;
/** Longest certificate chain that is looked at. */
const LIMIT_CHAIN = 8;

export interface HubTrust {
  readonly ca: PinnedCa;
  /** The device's certificate and key; absent while it enrols. */
  readonly client?: { readonly keyPem: string; readonly certificatePem: string };
  readonly clock: Pick<Clock, 'nowMs'>;
  /** Trusted time's floor (TrustedTime.floorMs). */
  readonly floorMs: () => number;
  /** The hub was recognised, but by the device's wall clock its certificate is not valid. For logs and status. */
  readonly onClock?: (clock: 'behind' | 'ahead') => void;
  /** Ends what is still dialling when the agent stops: a hub that hangs must not keep the process up. */
  readonly signal?: AbortSignal;
}

/** What an enrolled device trusts. */
export function trustOf(
  identity: Identity,
  time: { readonly clock: Pick<Clock, 'nowMs'>; readonly floorMs: () => number },
  onClock?: HubTrust['onClock'],
): HubTrust {
  return {
    ca: { certificate: new X509Certificate(identity.caPem) },
    client: { keyPem: identity.keyPem, certificatePem: identity.certificatePem },
    clock: time.clock,
    floorMs: time.floorMs,
    ...(onClock === undefined ? {} : { onClock }),
  };
}

/**
 * A dispatcher for the hub's device port. Its requests fail with IdentityError `foreign-hub` or `clock` as the cause where
 * the server is not the hub. The caller closes it.
 */
export function hubDispatcher(trust: HubTrust): Agent {
  const dial = buildConnector({
    ...clientTls(trust),
    timeout: CONNECT_TIMEOUT_MS,
    maxCachedSessions: 0, // a resumed session shows no certificate to judge
    allowH2: false,
  });
  return new Agent({
    connect: (options, callback) => {
      const giveUp = (): void => void dialling.destroy(new IdentityError('unreachable', 'the agent is stopping'));
      const dialling = dial(options, (...[error, socket]) => {
        trust.signal?.removeEventListener('abort', giveUp);
        if (error !== null) {
          callback(error, null);
          return;
        }
        const refusal = refusalOf(socket as TLSSocket, trust);
        if (refusal === undefined) {
          callback(null, socket);
          return;
        }
        socket.destroy();
        callback(refusal, null);
      }) as unknown as Socket; // which undici's types leave out
      trust.signal?.addEventListener('abort', giveUp, { once: true });
    },
  });
}

/**
 * A socket to `mqtts://host:port` for the MQTT client, returned at once. What is written waits until the hub is recognised;
 * otherwise the socket is destroyed with an IdentityError.
 */
export function hubSocket(url: string, trust: HubTrust): TLSSocket {
  const { hostname, port } = new URL(url);
  const socket = connect({ ...clientTls(trust), host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 8883) });
  socket.cork();
  const timer = setTimeout(() => {
    socket.destroy(new IdentityError('unreachable', `${url} did not answer within ${CONNECT_TIMEOUT_MS} ms`));
  }, CONNECT_TIMEOUT_MS);
  socket.once('close', () => clearTimeout(timer));
  socket.once('secureConnect', () => {
    clearTimeout(timer);
    const refusal = refusalOf(socket, trust);
    if (refusal === undefined) socket.uncork();
    else socket.destroy(refusal);
  });
  return socket;
}

/** The CA that the server showed and that the pin names; for enrolment, once a connection stands. */
function refusalOf(socket: TLSSocket, trust: HubTrust): IdentityError | undefined {
  const verdict = judgeHub(presentedBy(socket), trust.ca, { wallMs: trust.clock.nowMs(), floorMs: trust.floorMs() });
  if (!verdict.ok) return new IdentityError(verdict.code, verdict.message);
  if (verdict.clock !== 'plausible') trust.onClock?.(verdict.clock);
  return undefined;
}

function presentedBy(socket: TLSSocket): HubPresented {
  const chain: X509Certificate[] = [];
  let next: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (next?.raw !== undefined && chain.length < LIMIT_CHAIN) {
    chain.push(new X509Certificate(next.raw));
    if (next.issuerCertificate === next) break; // self-signed: the end
    next = next.issuerCertificate;
  }
  return { leaf: socket.getPeerX509Certificate(), chain };
}

function clientTls({ ca, client }: HubTrust) {
  return {
    rejectUnauthorized: false, // judged by `judgeHub` instead, before anything is sent
    minVersion: 'TLSv1.2' as const,
    ...('certificate' in ca ? { ca: ca.certificate.toString() } : {}),
    ...(client === undefined ? {} : { key: client.keyPem, cert: client.certificatePem }),
  };
}

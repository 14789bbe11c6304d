// The embedded broker: aedes (MQTT 3.1.1) behind mutual TLS. A device is who its certificate says; everything else is refused with
// the protocol's "not authorized", or by ending the connection, which is all that MQTT 3.1.1 offers for a forbidden publish.
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { Aedes, type AedesOptions, type Client, type ConnectPacket, type PublishPacket } from 'aedes';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { DesiredState } from '@tidegate/shared/wire/desired-state.js';
import { deviceTopics } from '@tidegate/shared/wire/device-api.js';
import { HttpServerError } from '@tidegate/shared/serving/http/http-server.js';
import type { CertificateAuthority } from '../../security/certificate-authority.js';
import { peerOf } from '../../security/device-certificate.js';
import type { Enrolment } from '../../security/enrolment.js';
import { renewingServerIdentity, type RenewingIdentity } from '../../security/server-identity.js';
import { connectRefusal, publishRefusal, subscribeRefusal, type ConnectRequest } from '../device-acl.js';
import {
  LIMIT_PACKET_BYTES,
  type BrokerGateway,
  type DeviceBroker,
  type DeviceBrokerOptions,
} from '../device-broker.js';
import { receive } from '../device-messages.js';
import { MeteredConnection } from './metered-connection.js';

const LIMIT_CONNECTIONS = 20_000;
const CONNECT_TIMEOUT_MS = 10_000;
/** A device that doesn't read what it is sent for so long is cut off. */
const DRAIN_TIMEOUT_MS = 30_000;
/** A device must be heard at least this often, so that one that vanished is noticed. */
const KEEPALIVE_MAX_S = 600;
/** Messages that may wait for their devices to read before others have to wait too. */
const LIMIT_DELIVERIES = 2000;
const NOT_AUTHORIZED = 5;

interface AedesBrokerModules {
  readonly ca: CertificateAuthority;
  readonly gateway: BrokerGateway;
  readonly enrolment: Pick<Enrolment, 'isRevoked'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Resolves once it listens. Rejects with HttpServerError (port taken ...) or SecurityError (no keys). */
export async function createBroker(options: DeviceBrokerOptions, modules: AedesBrokerModules): Promise<DeviceBroker> {
  const broker = new AedesBroker(modules);
  await broker.start(options);
  return broker;
}

/** What the TLS handshake told of a connection. */
type Admission = { readonly deviceId: string } | { readonly refusal: string };

class AedesBroker implements DeviceBroker {
  readonly #modules: AedesBrokerModules;
  readonly #aedes: Aedes;
  readonly #admissions = new WeakMap<object, Admission>();
  /** Refusals found in a CONNECT packet, until they can be answered. */
  readonly #connectRefusals = new WeakMap<Client, string>();
  readonly #clients = new Map<string, Client>();
  /** Newest desired version that was retained for each device in this run. */
  readonly #retained = new Map<string, number>();
  readonly #handling = new Set<Promise<void>>();
  #server: Server | undefined;
  #listening: AddressInfo = { address: '', family: 'IPv4', port: 0 };
  #identity: RenewingIdentity | undefined;
  #closing = false;

  constructor(modules: AedesBrokerModules) {
    this.#modules = modules;
    this.#aedes = new Aedes(this.#aedesOptions());
    this.#aedes.on('client', (client) => {
      const deviceId = this.#deviceOf(client);
      if (deviceId !== undefined) this.#clients.set(deviceId, client);
    });
    this.#aedes.on('clientDisconnect', (client) => {
      const deviceId = this.#deviceOf(client);
      if (deviceId !== undefined && this.#clients.get(deviceId) === client) this.#clients.delete(deviceId);
    });
    this.#aedes.on('subscribe', (subscriptions, client) => {
      const deviceId = this.#deviceOf(client);
      const wanted = subscriptions.some(
        ({ topic }) => deviceId !== undefined && topic === deviceTopics(deviceId).desired,
      );
      if (deviceId !== undefined && wanted) this.#track(this.#greet(deviceId));
    });
    const note = (client: Client, error: Error): void =>
      modules.log.info({ deviceId: this.#deviceOf(client), reason: error.message }, 'an MQTT connection was ended');
    this.#aedes.on('clientError', note);
    this.#aedes.on('connectionError', note);
  }

  async start({ host, port, names }: DeviceBrokerOptions): Promise<void> {
    const identity = await renewingServerIdentity(names, this.#modules);
    const tls = { requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2' as const };
    const server = createServer({ ...identity.tls(), ...tls, handshakeTimeout: CONNECT_TIMEOUT_MS });
    server.maxConnections = LIMIT_CONNECTIONS;
    server.on('secureConnection', (socket) => this.#connected(socket));
    server.on('tlsClientError', (error) => this.#modules.log.debug({ reason: error.message }, 'no TLS handshake'));
    identity.onRenewed((renewed) => server.setSecureContext(renewed));
    this.#identity = identity;
    this.#server = server;
    await this.#aedes.listen();
    try {
      this.#listening = await listen(server, host, port);
    } catch (cause) {
      await this.close();
      throw cause;
    }
  }

  get address(): string {
    const { address, family, port } = this.#listening;
    return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
  }

  get port(): number {
    return this.#listening.port;
  }

  connectedCount(): number {
    return this.#clients.size;
  }

  /**
   * Retains the document, for a device that is away too, and resolves without waiting for the delivery: one device that
   * doesn't read must not hold up the others.
   */
  async publish(deviceId: string, desired: DesiredState): Promise<void> {
    if (this.#closing || desired.version < (this.#retained.get(deviceId) ?? 0)) return;
    this.#retained.set(deviceId, desired.version);
    this.#track(this.#send(deviceTopics(deviceId).desired, JSON.stringify(desired), true));
  }

  disconnect(deviceId: string): void {
    this.#clients.get(deviceId)?.close();
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#identity?.close();
    const server = this.#server;
    const closed = new Promise<void>((resolve) =>
      server?.listening === true ? server.close(() => resolve()) : resolve(),
    );
    await new Promise<void>((resolve) => this.#aedes.close(() => resolve()));
    await closed;
    await Promise.allSettled(this.#handling);
  }

  #connected(socket: TLSSocket): void {
    const connection = new MeteredConnection(socket, LIMIT_PACKET_BYTES);
    this.#admissions.set(connection, this.#admission(socket));
    // Without a listener an error before aedes has taken over would end the process; aedes adds its own and cleans up.
    connection.on('error', () => undefined);
    this.#aedes.handle(connection);
  }

  #admission(socket: TLSSocket): Admission {
    const { ca, clock, enrolment } = this.#modules;
    const peer = peerOf(socket.getPeerX509Certificate(), ca, clock.nowMs());
    switch (peer.kind) {
      case 'none':
        return { refusal: 'no client certificate' };
      case 'foreign':
        return { refusal: 'a foreign client certificate' };
      case 'expired':
        return { refusal: `the certificate of ${peer.deviceId} has expired` };
      case 'device':
        return enrolment.isRevoked(peer.deviceId)
          ? { refusal: `the device ${peer.deviceId} was shut out` }
          : { deviceId: peer.deviceId };
    }
  }

  #deviceOf(client: Client | null): string | undefined {
    const admission = client === null ? undefined : this.#admissions.get(client.conn);
    return admission !== undefined && 'deviceId' in admission ? admission.deviceId : undefined;
  }

  #aedesOptions(): AedesOptions {
    return {
      concurrency: LIMIT_DELIVERIES,
      connectTimeout: CONNECT_TIMEOUT_MS,
      drainTimeout: DRAIN_TIMEOUT_MS,
      keepaliveLimit: KEEPALIVE_MAX_S,
      maxClientsIdLength: 64,
      preConnect: (client, packet: ConnectPacket, done) => {
        const admission = this.#admissions.get(client.conn);
        const refusal =
          admission === undefined || 'refusal' in admission
            ? (admission?.refusal ?? 'not a connection of the device port')
            : connectRefusal(admission.deviceId, connectRequestOf(packet));
        if (refusal !== undefined) this.#connectRefusals.set(client, refusal);
        done(null, true);
      },
      authenticate: (client, _username, _password, done) => {
        const refusal = this.#connectRefusals.get(client);
        if (refusal === undefined) done(null, true);
        else done(Object.assign(new Error(refusal), { returnCode: NOT_AUTHORIZED as never }), false);
      },
      authorizePublish: (client, { topic, qos, retain }, done) => {
        const deviceId = this.#deviceOf(client);
        const refusal =
          deviceId === undefined ? 'not a device' : publishRefusal(deviceId, { topic, qos, retain: retain === true });
        done(refusal === undefined ? null : new Error(refusal));
      },
      authorizeSubscribe: (client, subscription, done) => {
        const deviceId = this.#deviceOf(client);
        const refusal = deviceId === undefined ? 'not a device' : subscribeRefusal(deviceId, subscription.topic);
        if (refusal !== undefined) this.#modules.log.info({ deviceId, reason: refusal }, 'a subscription was refused');
        done(null, refusal === undefined ? subscription : null); // null: SUBACK says failure for this one
      },
      published: (packet, client, done) => {
        const deviceId = this.#deviceOf(client);
        if (deviceId === undefined || this.#closing) return done(); // the hub's own messages
        // `done` only afterwards: a device that sends faster than the hub stores waits.
        this.#track(this.#received(deviceId, packet).finally(() => done()));
      },
    };
  }

  async #received(deviceId: string, packet: PublishPacket): Promise<void> {
    const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload;
    const { gateway, log } = this.#modules;
    const answer = await receive({ deviceId, topic: packet.topic, payload }, gateway, log);
    if (answer !== undefined && !this.#closing) await this.#send(answer.topic, answer.payload, false);
  }

  /** A device asks for its desired state: after a restart of the hub nothing is retained yet. */
  async #greet(deviceId: string): Promise<void> {
    if (this.#retained.has(deviceId)) return;
    try {
      const desired = await this.#modules.gateway.desired(deviceId);
      if (desired !== undefined) await this.publish(deviceId, desired);
    } catch (cause) {
      this.#modules.log.warn({ err: cause, deviceId }, 'the desired state could not be sent; the device asks by HTTPS');
    }
  }

  #send(topic: string, payload: string, retain: boolean): Promise<void> {
    const packet = {
      cmd: 'publish' as const,
      topic,
      payload: Buffer.from(payload),
      qos: 1 as const,
      retain,
      dup: false,
    };
    return new Promise((resolve, reject) => {
      this.#aedes.publish(packet, (error) => (error ? reject(error) : resolve()));
    });
  }

  #track(work: Promise<void>): void {
    const tracked = work.catch((cause: unknown) => {
      this.#modules.log.warn({ err: cause }, 'a message could not be sent');
    });
    this.#handling.add(tracked);
    void tracked.finally(() => this.#handling.delete(tracked));
  }
}

function connectRequestOf({ clientId, clean, will }: ConnectPacket): ConnectRequest {
  return {
    clientId,
    clean: clean === true,
    will:
      will === undefined
        ? undefined
        : { topic: will.topic, qos: will.qos ?? 0, retain: will.retain === true, payload: Buffer.from(will.payload) },
  };
}

function listen(server: Server, host: string, port: number): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const message =
        cause.code === 'EADDRINUSE'
          ? `--mqtt-port: ${host}:${port} is taken by another program`
          : `--mqtt-port: can't listen on ${host}:${port}: ${cause.message}`;
      reject(new HttpServerError(cause.code === 'EADDRINUSE' ? 'port-taken' : 'listen-failed', message, { cause }));
    });
    server.listen(port, host, () => resolve(server.address() as AddressInfo));
  });
}

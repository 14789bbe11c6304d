import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Aedes } from 'aedes';
import { openMqttSession, type MqttOptions } from '@tidegate/edge-agent/sync/mqtt-session.js';

let broker: Aedes;
let server: Server;
const sockets = new Set<Socket>();
let received: [string, string][] = [];
const signal = new AbortController().signal;

beforeEach(async () => {
  broker = await Aedes.createBroker();
  received = [];
  server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    broker.handle(socket);
  });
  broker.on('publish', (packet, client) => {
    if (client !== null || packet.topic === 'will') received.push([packet.topic, String(packet.payload)]);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await new Promise<void>((resolve) => broker.close(() => resolve()));
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

const options = (more: Partial<MqttOptions> = {}): MqttOptions => ({
  openSocket: () => connect((server.address() as AddressInfo).port, '127.0.0.1'),
  clientId: 'device-1',
  will: { topic: 'will', payload: 'gone' },
  connectTimeoutMs: 2000,
  keepaliveS: 60,
  ...more,
});

describe('an MQTT session', () => {
  it('subscribes, publishes, and hears what it subscribed to', async () => {
    const heard: [string, string][] = [];
    let wake: () => void = () => undefined;
    const first = new Promise<void>((resolve) => (wake = resolve));
    const session = await openMqttSession(
      options(),
      (topic, payload) => {
        heard.push([topic, Buffer.from(payload).toString()]);
        wake();
      },
      signal,
    );
    await session.subscribe(['a', 'b']);
    await session.publish('a', 'hello');
    await first;
    expect(heard).toEqual([['a', 'hello']]);
    await session.end();
    expect(received).toEqual([['a', 'hello']]);
  });

  it('ends every waiting call when the connection ends (mqtt.js would leave them open)', async () => {
    broker.authorizePublish = () => undefined; // never answered
    const session = await openMqttSession(options(), () => undefined, signal);
    const waiting = session.publish('a', 'hello');
    for (const socket of sockets) socket.destroy();
    await expect(waiting).rejects.toThrow();
    await expect(session.publish('a', 'later')).rejects.toThrow();
    expect(await session.closed).toBeTypeOf('string');
  });

  it('says what the broker refuses', async () => {
    broker.authenticate = (_client, _user, _password, done) =>
      done(Object.assign(new Error('no'), { returnCode: 5 }), false);
    await expect(openMqttSession(options(), () => undefined, signal)).rejects.toThrow(/[Nn]ot authorized/);
    broker.authenticate = (_client, _user, _password, done) => done(null, true);
    broker.authorizeSubscribe = (_client, subscription, done) =>
      done(null, subscription.topic === 'own' ? subscription : null);
    const session = await openMqttSession(options(), () => undefined, signal);
    await expect(session.subscribe(['own', 'foreign'])).rejects.toThrow('subscribing to own, foreign: Subscribe error');
    await session.end();
  });

  it('rejects where nobody listens, where the socket is destroyed with a reason, and when called off', async () => {
    const closedPort = (): Socket => connect(1, '127.0.0.1');
    await expect(openMqttSession(options({ openSocket: closedPort }), () => undefined, signal)).rejects.toThrow(
      /ECONNREFUSED/,
    );
    const openSocket = (): Socket => {
      const socket = options().openSocket() as Socket;
      socket.cork();
      socket.once('connect', () => socket.destroy(new Error("the server's certificate is not of this device's hub")));
      return socket;
    };
    await expect(openMqttSession(options({ openSocket }), () => undefined, signal)).rejects.toThrow(
      /not of this device's hub/,
    );
    const stop = new AbortController();
    const mute = createServer((accepted) => accepted.resume()).listen(0, '127.0.0.1');
    await new Promise((resolve) => mute.once('listening', resolve));
    const { port } = mute.address() as AddressInfo;
    let dialled: Socket | undefined;
    const opening = openMqttSession(
      options({ openSocket: () => (dialled = connect(port, '127.0.0.1', () => stop.abort(new Error('called off')))) }),
      () => undefined,
      stop.signal,
    );
    await expect(opening).rejects.toThrow('called off');
    expect(dialled?.destroyed).toBe(true);
    await new Promise((resolve) => mute.close(resolve));
  });

  it('leaves a will', async () => {
    const session = await openMqttSession(options(), () => undefined, signal);
    const will = new Promise<void>((resolve) => broker.on('publish', (packet) => packet.topic === 'will' && resolve()));
    for (const socket of sockets) socket.destroy();
    await session.closed;
    await will;
    expect(received).toEqual([['will', 'gone']]);
  });
});

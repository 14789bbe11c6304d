import { createConnection } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { connect, type IClientOptions, type MqttClient } from 'mqtt';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createBroker } from '@tidegate/cloud-hub/broker/aedes/aedes-broker.js';
import { LIMIT_PACKET_BYTES, type DeviceBroker } from '@tidegate/cloud-hub/broker/device-broker.js';
import { enrol } from '@tidegate/edge-agent/identity/enrol.js';
import type { Identity } from '@tidegate/edge-agent/identity/identity.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { deviceTopics } from '@tidegate/shared/wire/device-api.js';
import { desiredFor, recordOf, reportOf, startDeviceHub, type DeviceHub } from '../../../support/device-hub.js';
import { temporaryFolders } from '../../../support/temporary-folder.js';

const newFolder = temporaryFolders('broker');
const topics = deviceTopics('cam-1');
const will = {
  topic: topics.presence,
  payload: Buffer.from('{"connectionId":"c1","online":false}'),
  qos: 1 as const,
  retain: false,
};
let hub: DeviceHub;
let broker: DeviceBroker;
let cam1: Identity;
let cam2: Identity;
const clients: MqttClient[] = [];

beforeAll(async () => {
  hub = await startDeviceHub(newFolder());
  cam1 = await newDevice('cam-1');
  cam2 = await newDevice('cam-2');
});
afterAll(() => hub.close());
beforeEach(async () => {
  broker = await hub.startBroker();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.end(true);
  await broker.close();
  for (const list of [hub.gateway.reports, hub.gateway.records, hub.gateway.presences]) list.length = 0;
  hub.gateway.onMessage = () => undefined;
});

async function newDevice(name: string): Promise<Identity> {
  const modules = { files: systemFiles, clock: systemClock };
  const options = { dataDir: newFolder(), token: await hub.newToken(), name };
  return enrol(options, modules, new AbortController().signal);
}

/** An unmodified MQTT client with a device's certificate. Rejects with the broker's refusal. */
async function connected(identity: Identity, options: Partial<IClientOptions> = {}): Promise<MqttClient> {
  const client = connect(`mqtts://${broker.address}`, {
    key: identity.keyPem,
    cert: identity.certificatePem,
    ca: identity.caPem,
    clientId: identity.deviceId,
    clean: true,
    reconnectPeriod: 0,
    connectTimeout: 5000,
    ...options,
  });
  clients.push(client);
  await new Promise<void>((resolve, reject) => {
    client.once('connect', () => resolve());
    client.once('error', reject);
    client.once('close', () => reject(new Error('closed')));
  });
  return client;
}

const ended = (client: MqttClient): Promise<void> =>
  new Promise((resolve) => void client.once('close', () => resolve()));
const arrived = (): Promise<void> => new Promise((resolve) => void (hub.gateway.onMessage = resolve));
const message = (client: MqttClient): Promise<{ topic: string; document: unknown }> =>
  new Promise((resolve) => {
    client.once('message', (topic, payload) => resolve({ topic, document: JSON.parse(payload.toString()) }));
  });

describe('a device with its own certificate', () => {
  it('gets the desired state when it subscribes, and each change', async () => {
    hub.gateway.documents.set('cam-1', desiredFor('cam-1', 4));
    const client = await connected(cam1);
    expect(broker.connectedCount()).toBe(1);
    const first = message(client);
    await client.subscribeAsync([topics.desired, topics.telemetryAck], { qos: 1 });
    expect(await first).toEqual({ topic: topics.desired, document: desiredFor('cam-1', 4) });
    const second = message(client);
    await broker.publish('cam-1', desiredFor('cam-1', 5));
    expect((await second).document).toEqual(desiredFor('cam-1', 5));
  });

  it('gets what was published while it was away, the newest only', async () => {
    await broker.publish('cam-1', desiredFor('cam-1', 7));
    await broker.publish('cam-1', desiredFor('cam-1', 8));
    await broker.publish('cam-1', desiredFor('cam-1', 6)); // late and out of order
    const client = await connected(cam1);
    const first = message(client);
    await client.subscribeAsync(topics.desired, { qos: 1 });
    expect((await first).document).toEqual(desiredFor('cam-1', 8));
  });

  it('is heard, and its telemetry acknowledged once it is stored', async () => {
    const client = await connected(cam1);
    await client.subscribeAsync(topics.telemetryAck, { qos: 1 });
    let heard = arrived();
    await client.publishAsync(topics.reported, JSON.stringify(reportOf('cam-1', 1)), { qos: 1 });
    await heard;
    expect(hub.gateway.reports).toEqual([['cam-1', reportOf('cam-1', 1)]]);
    const acknowledged = message(client);
    await client.publishAsync(topics.telemetry, JSON.stringify(recordOf('cam-1', 12)), { qos: 1 });
    expect(await acknowledged).toEqual({ topic: topics.telemetryAck, document: { seq: 12 } });
    expect(hub.gateway.records).toEqual([['cam-1', recordOf('cam-1', 12)]]);
    heard = arrived();
    await client.publishAsync(topics.reported, 'broken', { qos: 1 });
    await client.publishAsync(topics.presence, '{"connectionId":"c1","online":true}', { qos: 1 });
    await heard;
    expect(hub.gateway.presences.length).toBe(1); // the good one after the bad one
  });

  it('is missed by its will, with the id of its connection', async () => {
    const client = await connected(cam1, { will });
    const heard = arrived();
    client.stream.destroy(); // no goodbye
    await heard;
    expect(hub.gateway.presences).toEqual([['cam-1', { connectionId: 'c1', online: false }]]);
  });

  it('a second connection of the same device replaces the first', async () => {
    const first = await connected(cam1);
    const gone = ended(first);
    const second = await connected(cam1);
    await gone;
    expect(broker.connectedCount()).toBe(1);
    const next = message(second);
    await second.subscribeAsync(topics.desired, { qos: 1 });
    await next;
  });
});

describe('the other device', () => {
  it('sees and changes nothing of the first', async () => {
    const watcher = await connected(cam2);
    const seen: string[] = [];
    watcher.on('message', (topic) => void seen.push(topic));
    for (const topic of [
      '#',
      '+/+/+/+/+',
      'tidegate/v1/devices/+/desired',
      topics.desired,
      topics.telemetryAck,
      topics.reported,
      '$SYS/#',
      '$share/g/tidegate/v1/devices/cam-2/desired',
    ]) {
      // Every one is answered with a failure in its SUBACK.
      await expect(watcher.subscribeAsync(topic, { qos: 1 }), topic).rejects.toThrow(/Unspecified error|128/);
    }
    const client = await connected(cam1);
    const got = message(client);
    await client.subscribeAsync(topics.desired, { qos: 1 });
    await broker.publish('cam-1', desiredFor('cam-1', 30));
    await got;
    await client.publishAsync(topics.telemetry, JSON.stringify(recordOf('cam-1', 1)), { qos: 1 });
    await watcher.subscribeAsync(deviceTopics('cam-2').telemetryAck, { qos: 1 });
    const last = message(watcher);
    await watcher.publishAsync(deviceTopics('cam-2').telemetry, JSON.stringify(recordOf('cam-2', 2)), { qos: 1 });
    await last;
    expect(seen).toEqual([deviceTopics('cam-2').telemetryAck]);
  });

  it.each([
    topics.reported,
    topics.telemetry,
    topics.presence,
    topics.desired,
    topics.telemetryAck,
    deviceTopics('cam-2').desired,
    deviceTopics('cam-2').telemetryAck,
    'tidegate/v1/devices/cam-2/other',
    'anything',
    '$SYS/x',
  ])('is cut off when it publishes to %s', async (topic) => {
    const client = await connected(cam2);
    const gone = ended(client);
    client.publish(topic, JSON.stringify(reportOf('cam-1', 99)), { qos: 1 });
    await gone;
    expect([...hub.gateway.reports, ...hub.gateway.records, ...hub.gateway.presences]).toEqual([]);
    await connected(cam2); // a good connection after the bad one
  });

  it.each([
    ['retained', { qos: 1 as const, retain: true }],
    ['QoS 2', { qos: 2 as const, retain: false }],
  ])('is cut off when its own report is %s', async (_name, options) => {
    const client = await connected(cam2);
    const gone = ended(client);
    client.publish(deviceTopics('cam-2').reported, JSON.stringify(reportOf('cam-2', 1)), options);
    await gone;
    expect(hub.gateway.reports).toEqual([]);
  });

  it.each([
    ['under another id', { clientId: 'cam-1' }],
    ['with a session to be kept', { clean: false }],
    ["with the other's will", { will }],
    [
      'with a will without its connection',
      { will: { ...will, topic: deviceTopics('cam-2').presence, payload: Buffer.from('{}') } },
    ],
  ])('is refused %s, and the first keeps its connection', async (_name, options) => {
    const first = await connected(cam1);
    await expect(connected(cam2, options)).rejects.toThrow(/Not authorized/);
    expect(first.connected).toBe(true);
    expect(broker.connectedCount()).toBe(1);
  });
});

describe('strangers', () => {
  it('without a certificate, or with a foreign one, are not authorized', async () => {
    const foreignHub = await startDeviceHub(newFolder());
    const options = { dataDir: newFolder(), token: await foreignHub.newToken(), name: 'cam-1' };
    const modules = { files: systemFiles, clock: systemClock };
    const stranger = await enrol(options, modules, new AbortController().signal);
    await foreignHub.close();
    const asStranger = { ...stranger, caPem: cam1.caPem };
    await expect(connected(asStranger)).rejects.toThrow(/Not authorized/);
    const nobody = { protocolVersion: 4 as const, key: '', cert: '' };
    await expect(connected(cam1, nobody)).rejects.toThrow(/Not authorized/);
    await connected(cam1);
  });

  it('revoked devices are cut off and stay out', async () => {
    const cam3 = await newDevice('cam-3');
    const client = await connected(cam3);
    const gone = ended(client);
    await hub.enrolment.revoke('cam-3', 'token:test');
    broker.disconnect('cam-3');
    await gone;
    await expect(connected(cam3)).rejects.toThrow(/Not authorized/);
  });

  it('plain TCP and noise inside TLS end the connection, not the broker', async () => {
    const plain = createConnection(broker.port, '127.0.0.1');
    plain.on('error', () => undefined); // reset or closed, both are right
    plain.write('GET / HTTP/1.1\r\n\r\n');
    await new Promise((resolve) => plain.once('close', resolve));
    const noise = tlsConnect({
      host: '127.0.0.1',
      port: broker.port,
      key: cam1.keyPem,
      cert: cam1.certificatePem,
      ca: cam1.caPem,
    });
    noise.on('error', () => undefined);
    noise.write('GET / HTTP/1.1\r\n\r\n');
    await new Promise((resolve) => noise.once('close', resolve));
    await connected(cam1);
  });

  it('a message that is too large ends the connection before it is in memory', async () => {
    const client = await connected(cam1);
    const gone = ended(client);
    client.publish(topics.reported, Buffer.alloc(LIMIT_PACKET_BYTES), { qos: 1 });
    await gone;
    expect(hub.gateway.reports).toEqual([]);
    await connected(cam1);
  });
});

describe('the broker itself', () => {
  it('is not held up by a device that does not read', async () => {
    const stuck = await connected(cam1);
    await stuck.subscribeAsync(topics.desired, { qos: 1 });
    stuck.stream.pause();
    const large = { ...desiredFor('cam-1', 1000), padding: 'x'.repeat(256 * 1024) };
    for (let i = 0; i < 150; i += 1) await broker.publish('cam-1', { ...large, version: 1000 + i });
    const other = await connected(cam2);
    await other.subscribeAsync(deviceTopics('cam-2').desired, { qos: 1 });
    const got = message(other);
    await broker.publish('cam-2', desiredFor('cam-2', 1000));
    expect((await got).topic).toBe(deviceTopics('cam-2').desired);
  });

  it('says when its port is taken', async () => {
    const { ca, gateway, enrolment, clock } = hub;
    const modules = { ca, gateway, enrolment, clock, log: silentLog };
    await expect(createBroker({ host: '127.0.0.1', port: broker.port, names: [] }, modules)).rejects.toMatchObject({
      code: 'port-taken',
      message: expect.stringContaining('--mqtt-port'),
    });
  });

  it('gives the desired state after a restart, when nothing is retained yet', async () => {
    await broker.publish('cam-1', desiredFor('cam-1', 40));
    await broker.close();
    hub.gateway.documents.set('cam-1', desiredFor('cam-1', 41));
    broker = await hub.startBroker();
    const client = await connected(cam1);
    const first = message(client);
    await client.subscribeAsync(topics.desired, { qos: 1 });
    expect((await first).document).toEqual(desiredFor('cam-1', 41));
  });
});

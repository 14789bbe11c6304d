import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Agent, request, type Dispatcher } from 'undici';
import { createDevicePort } from '@tidegate/cloud-hub/api/device/device-port.js';
import { LIMIT_DOCUMENT_BYTES } from '@tidegate/cloud-hub/api/device/device-routes.js';
import { FleetError } from '@tidegate/cloud-hub/fleet/fleet-error.js';
import { enrol } from '@tidegate/edge-agent/identity/enrol.js';
import { hubDispatcher, trustOf } from '@tidegate/edge-agent/identity/hub-transport.js';
import type { Identity } from '@tidegate/edge-agent/identity/identity.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { downloadBlob } from '@tidegate/shared/content/ranged-download.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { systemRandom } from '@tidegate/shared/system/random.js';
import { TrustedTime } from '@tidegate/shared/tuf/trusted-time.js';
import { TufClient } from '@tidegate/shared/tuf/tuf-client.js';
import { devicePaths } from '@tidegate/shared/wire/device-api.js';
import { hexOf, sha256 } from '@tidegate/shared/wire/digest.js';
import { desiredFor, recordOf, reportOf, startDeviceHub, type DeviceHub } from '../../../support/device-hub.js';
import { temporaryFolders } from '../../../support/temporary-folder.js';

const newFolder = temporaryFolders('device-port');
const never = new AbortController().signal;
const data = randomBytes(500_000);
let hub: DeviceHub;
let identity: Identity;
let device: Dispatcher;
let stranger: Dispatcher;
let foreign: Dispatcher;

const enrolAt = async (at: DeviceHub, name: string): Promise<Identity> => {
  const options = { dataDir: newFolder(), token: await at.newToken(), name };
  return enrol(options, { files: systemFiles, clock: systemClock }, never);
};
const dispatcherOf = (of: Identity): Dispatcher =>
  hubDispatcher(trustOf(of, { clock: systemClock, floorMs: () => Date.now() }));

beforeAll(async () => {
  hub = await startDeviceHub(newFolder());
  identity = await enrolAt(hub, 'cam-1');
  device = dispatcherOf(identity);
  stranger = new Agent({ connect: { ca: identity.caPem } });
  const otherHub = await startDeviceHub(newFolder());
  const other = await enrolAt(otherHub, 'cam-1');
  await otherHub.close();
  foreign = dispatcherOf({ ...other, caPem: identity.caPem });
  await hub.content.putBytes(data);
});
afterAll(async () => {
  for (const dispatcher of [device, stranger, foreign]) await dispatcher.destroy();
  await hub.close();
});
beforeEach(() => {
  for (const list of [hub.gateway.reports, hub.gateway.records]) list.length = 0;
});

interface Asked {
  readonly method?: Dispatcher.HttpMethod;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  readonly as?: Dispatcher;
}

async function ask(path: string, { method = 'GET', headers = {}, body, as = device }: Asked = {}) {
  const response = await request(hub.url + path, {
    dispatcher: as,
    method,
    headers,
    ...(body === undefined ? {} : { body }),
  });
  const bytes = Buffer.from(await response.body.arrayBuffer());
  const type = String(response.headers['content-type'] ?? '');
  const json = type.includes('json') && bytes.length > 0 ? (JSON.parse(bytes.toString()) as unknown) : undefined;
  return { status: response.statusCode, headers: response.headers, bytes, json };
}

describe('who may call', () => {
  const guarded = [
    '/device/v1/desired',
    devicePaths.blob(hexOf(sha256(data))),
    '/tuf/image/metadata/timestamp.json',
    '/v2/models/x',
  ];

  it.each(guarded)('%s: not without a certificate, not with a foreign one', async (path) => {
    expect(await ask(path, { as: stranger })).toMatchObject({ status: 401, json: { code: 'certificate-required' } });
    expect(await ask(path, { as: foreign })).toMatchObject({ status: 403, json: { code: 'foreign-certificate' } });
    expect(await ask(path)).toMatchObject({ status: 200 });
  });

  it('hands inference to the hub with the id of the certificate', async () => {
    expect((await ask('/v2/models/x')).bytes.toString()).toBe('inference for cam-1');
  });

  it('not a device that was shut out, from its next request on', async () => {
    const cam2 = dispatcherOf(await enrolAt(hub, 'cam-2'));
    expect((await ask('/device/v1/desired', { as: cam2 })).status).toBe(200);
    await hub.enrolment.revoke('cam-2', 'token:test');
    expect(await ask('/device/v1/desired', { as: cam2 })).toMatchObject({ status: 403, json: { code: 'revoked' } });
    await cam2.destroy();
  });

  it('not a device that the fleet has forgotten', async () => {
    const cam3 = dispatcherOf(await enrolAt(hub, 'cam-3'));
    hub.gateway.documents.delete('cam-3');
    expect(await ask('/device/v1/desired', { as: cam3 })).toMatchObject({
      status: 403,
      json: { code: 'unknown-device' },
    });
    await cam3.destroy();
  });
});

describe('desired state', () => {
  it('comes with its version as ETag, and as 304 when nothing changed', async () => {
    hub.gateway.documents.set('cam-1', desiredFor('cam-1', 5));
    const first = await ask('/device/v1/desired');
    expect(first).toMatchObject({ status: 200, json: desiredFor('cam-1', 5) });
    expect(first.headers['etag']).toBe('"5"');
    const second = await ask('/device/v1/desired', { headers: { 'if-none-match': '"5"' } });
    expect(second).toMatchObject({ status: 304, bytes: Buffer.alloc(0) });
    hub.gateway.documents.set('cam-1', desiredFor('cam-1', 6));
    expect((await ask('/device/v1/desired', { headers: { 'if-none-match': '"5"' } })).status).toBe(200);
  });
});

describe('reports and telemetry', () => {
  it('reach the fleet under the id of the certificate', async () => {
    const report = reportOf('cam-1', 3);
    expect((await ask('/device/v1/reported', { method: 'PUT', body: JSON.stringify(report) })).status).toBe(204);
    expect(hub.gateway.reports).toEqual([['cam-1', report]]);
    const record = recordOf('cam-1', 9);
    const answer = await ask('/device/v1/telemetry', { method: 'POST', body: JSON.stringify(record) });
    expect(answer).toMatchObject({ status: 200, json: { seq: 9 } });
    expect(hub.gateway.records).toEqual([['cam-1', record]]);
  });

  it.each([
    ['no JSON', 'hello', 400, 'invalid-body', undefined],
    ['a field missing', JSON.stringify({ ...reportOf('cam-1', 1), bootId: undefined }), 400, 'invalid-body', 'bootId'],
    ['a field too many', JSON.stringify({ ...reportOf('cam-1', 1), more: 1 }), 400, 'invalid-body', undefined],
    ['a number out of range', JSON.stringify(reportOf('cam-1', -1)), 400, 'invalid-body', 'seq'],
    ["another device's", JSON.stringify(reportOf('cam-2', 1)), 403, 'other-device', 'deviceId'],
    ['too large', Buffer.alloc(LIMIT_DOCUMENT_BYTES + 1, 32), 413, 'body-too-large', undefined],
  ])('refused: %s', async (_name, body, status, code, field) => {
    const answer = await ask('/device/v1/reported', { method: 'PUT', body });
    expect(answer).toMatchObject({ status, json: { code, error: expect.any(String), ...(field ? { field } : {}) } });
    expect(hub.gateway.reports).toEqual([]);
    const good = { method: 'PUT' as const, body: JSON.stringify(reportOf('cam-1', 1)) };
    expect((await ask('/device/v1/reported', good)).status).toBe(204);
  });

  it('an endless body is cut off at the limit', async () => {
    async function* endless(): AsyncGenerator<Buffer> {
      for (;;) yield Buffer.alloc(65_536, 32);
    }
    const sent = request(`${hub.url}/device/v1/telemetry`, {
      dispatcher: device,
      method: 'POST',
      body: endless() as never,
    });
    const outcome = await sent.then(
      async ({ statusCode, body }) => (await body.dump(), statusCode),
      (error: { code?: string }) => error.code,
    );
    expect([413, 'UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']).toContain(outcome);
    expect((await ask('/device/v1/desired')).status).toBe(200);
  });

  it("the fleet's refusals keep their meaning, and a failure of the hub tells nothing of its inside", async () => {
    const { reported } = hub.gateway;
    const put = { method: 'PUT' as const, body: JSON.stringify(reportOf('cam-1', 1)) };
    hub.gateway.reported = () => Promise.reject(new FleetError('unknown-device', 'no device cam-1'));
    expect(await ask('/device/v1/reported', put)).toMatchObject({ status: 403, json: { code: 'unknown-device' } });
    hub.gateway.reported = () => Promise.reject(new Error('SQLITE_BUSY at /secret/path'));
    const answer = await ask('/device/v1/reported', put);
    expect(answer).toMatchObject({ status: 500, json: { code: 'internal' } });
    expect(answer.bytes.toString()).not.toContain('secret');
    hub.gateway.reported = reported;
  });
});

describe('blobs', () => {
  const path = devicePaths.blob(hexOf(sha256(data)));

  it('come whole and in ranges, and If-Range is honoured', async () => {
    const whole = await ask(path);
    expect(whole.bytes.equals(data)).toBe(true);
    expect(whole.headers).toMatchObject({ 'accept-ranges': 'bytes', etag: `"${hexOf(sha256(data))}"` });
    const range = { range: 'bytes=100-199' };
    const part = await ask(path, { headers: range });
    expect(part).toMatchObject({ status: 206, headers: { 'content-range': 'bytes 100-199/500000' } });
    expect(part.bytes.equals(data.subarray(100, 200))).toBe(true);
    expect((await ask(path, { headers: { ...range, 'if-range': '"other"' } })).status).toBe(200);
    const beyond = await ask(path, { headers: { range: 'bytes=500000-' } });
    expect(beyond).toMatchObject({ status: 416, headers: { 'content-range': 'bytes */500000' } });
    const head = await ask(path, { method: 'HEAD' });
    expect(head).toMatchObject({ status: 200, headers: { 'content-length': '500000' } });
  });

  it.each(['0'.repeat(64), 'short', '..%2f..%2fkeys%2fca.pem', `${'0'.repeat(64)}/x`])('unknown: %s', async (hex) => {
    expect(await ask(`/device/v1/blobs/${hex}`)).toMatchObject({ status: 404, json: { code: 'not-found' } });
  });

  it('an empty one', async () => {
    await hub.content.putBytes(new Uint8Array(0));
    expect(await ask(devicePaths.blob(hexOf(sha256(''))))).toMatchObject({ status: 200, bytes: Buffer.alloc(0) });
  });

  it("the agent's download and update client work over it", async () => {
    const folder = newFolder();
    const store = await ContentStore.open({ folder }, systemFiles);
    const wanted = { url: hub.url + path, digest: sha256(data), sizeBytes: data.length };
    const partial = await store.resume(wanted);
    await partial.write(data.subarray(0, 200_000));
    await partial.pause();
    const modules = { store, dispatcher: device, clock: systemClock, random: systemRandom };
    expect(await downloadBlob(wanted, modules, never)).toMatchObject({
      transferredBytes: 300_000,
      resumedBytes: 200_000,
    });
    await hub.tuf.addTarget('variants/aa.json', Buffer.from('{}'), { n: 1 });
    const trustedTime = await TrustedTime.open({ path: `${folder}/time` }, { files: systemFiles, clock: systemClock });
    const client = await TufClient.open(
      {
        folder: `${folder}/tuf`,
        metadataUrl: identity.deviceUrl + devicePaths.tufMetadata,
        targetsUrl: identity.deviceUrl + devicePaths.tufTargets,
        factoryRoot: identity.tufRoot,
      },
      { files: systemFiles, dispatcher: device, trustedTime },
    );
    expect(await client.verifiedTarget('variants/aa.json', never)).toMatchObject({ custom: { n: 1 } });
  });
});

describe('update metadata', () => {
  it('are served as they are, the timestamp never from a cache', async () => {
    const timestamp = await ask('/tuf/image/metadata/timestamp.json');
    expect(timestamp).toMatchObject({ status: 200, headers: { 'cache-control': 'no-cache' } });
    const root = await ask('/tuf/image/metadata/1.root.json');
    expect(root.bytes.toString()).toBe(hub.tuf.root());
    expect(root.headers['cache-control']).toContain('immutable');
  });

  it.each([
    '/tuf/image/metadata/9.root.json',
    '/tuf/image/metadata/../../keys/ca.pem',
    '/tuf/image/metadata/ca.pem',
    '/tuf/image/targets/..%2f..%2fkeys',
    '/tuf/director/metadata/timestamp.json',
  ])('nothing else: %s', async (path) => {
    expect((await ask(path)).status).toBe(404);
  });
});

describe('other requests', () => {
  it('are told what is possible', async () => {
    expect(await ask('/device/v1/desired', { method: 'DELETE' })).toMatchObject({ status: 405 });
    expect(await ask('/device/v1/enrol', { as: stranger })).toMatchObject({ status: 405 });
    expect(await ask('/nothing')).toMatchObject({ status: 404, json: { code: 'not-found' } });
  });

  it('an enrolment is bounded and checked like everything else', async () => {
    const post = (body: string) => ask('/device/v1/enrol', { method: 'POST', body, as: stranger });
    expect(await post('{}')).toMatchObject({ status: 400, json: { code: 'invalid-body', field: 'tokenId' } });
    expect(await post('x'.repeat(20_000))).toMatchObject({ status: 413 });
  });

  it('a taken port is named with its flag', async () => {
    const { ca, clock, gateway, enrolment, tuf, content, samples } = hub;
    const urls = { deviceUrl: () => '', mqttUrl: () => '' };
    const parts = { ca, clock, gateway, enrolment, tuf, content, samples };
    const modules = { ...parts, files: systemFiles, log: silentLog, ...urls };
    const starting = createDevicePort(
      { host: '127.0.0.1', port: hub.port.port, names: [] },
      { ...modules, answers: { answers: undefined, refuse: async () => undefined }, inference: () => false },
    );
    await expect(starting).rejects.toMatchObject({
      code: 'port-taken',
      message: expect.stringContaining('--device-port'),
    });
  });
});

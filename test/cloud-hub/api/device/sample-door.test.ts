// Samples over the device port, real TLS and client certificates: taken once, judged, and only as many at once as memory allows.
import { RECEIVED_LIMITS, SampleDoor } from '@tidegate/cloud-hub/api/device/sample-door.js';
import { enrol } from '@tidegate/edge-agent/identity/enrol.js';
import { hubDispatcher, trustOf } from '@tidegate/edge-agent/identity/hub-transport.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { devicePaths } from '@tidegate/shared/wire/device-api.js';
import { hexOf, sha256 } from '@tidegate/shared/wire/digest.js';
import { LIMIT_SAMPLE_BYTES, sampleId } from '@tidegate/shared/wire/sample.js';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { PassThrough, Readable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { Agent, request, type Dispatcher } from 'undici';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { addDigits, digitSample } from '../../../support/captured-samples.js';
import { startDeviceHub, type DeviceHub } from '../../../support/device-hub.js';
import { temporaryFolders } from '../../../support/temporary-folder.js';

const folder = temporaryFolders('sample-door');
const never = new AbortController().signal;
let hub: DeviceHub;
let device: Dispatcher;
let caPem: string;

beforeEach(async () => {
  hub = await startDeviceHub(folder());
  ({ dispatcher: device, caPem } = await enrolled('cam-1'));
  await addDigits(hub.db, hub.content);
});
afterEach(async () => {
  await device.destroy();
  await hub.close();
});

async function enrolled(name: string): Promise<{ dispatcher: Dispatcher; caPem: string }> {
  const options = { dataDir: folder(), token: await hub.newToken(), name };
  const identity = await enrol(options, { files: systemFiles, clock: systemClock }, never);
  const trust = trustOf(identity, { clock: systemClock, floorMs: () => Date.now() });
  return { dispatcher: hubDispatcher(trust), caPem: identity.caPem };
}

interface Put {
  readonly hex?: string;
  readonly method?: 'PUT' | 'GET';
  readonly as?: Dispatcher;
}

async function put(body: Uint8Array | Readable, { hex, method = 'PUT', as = device }: Put = {}) {
  const path = devicePaths.sample(hex ?? hexOf(sampleId(body as Uint8Array)));
  const answer = await request(hub.url + path, { dispatcher: as, method, ...(method === 'PUT' ? { body } : {}) });
  return { status: answer.statusCode, headers: answer.headers, json: (await answer.body.json()) as never };
}

const rows = () => hub.db.selectFrom('samples').select(['id', 'device_id']).execute();

describe('a sample', () => {
  test('is taken once, of the device that the certificate names', async () => {
    const body = digitSample(1);
    expect(await put(body)).toMatchObject({ status: 201, json: { id: sampleId(body) } });
    expect(await put(body)).toMatchObject({ status: 200, json: { id: sampleId(body) } });
    expect(await rows()).toEqual([{ id: sampleId(body), device_id: 'cam-1' }]);
    expect(Buffer.compare(await hub.content.read(sampleId(body)), body)).toBe(0);
  });

  test('that comes twice at the same time is one, and no device loses it', async () => {
    const answers = await Promise.all([1, 2, 3, 4].map(() => put(digitSample(2))));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 201]);
    expect((await rows()).length).toBe(1);
  });

  test.each([
    ['another digest', digitSample(1), hexOf(sha256('other')), { code: 'invalid', field: 'digest' }],
    ['a path that is no digest', digitSample(1), 'latest', { code: 'invalid', field: 'digest' }],
    ['a digest in capitals', digitSample(1), 'A'.repeat(64), { code: 'invalid', field: 'digest' }],
    ['no sample', Buffer.from('no sample at all'), undefined, { code: 'invalid', field: 'header' }],
    ['an import', digitSample(1, { reason: 'import' }), undefined, { code: 'invalid', field: 'reason' }],
    ['no confidence', digitSample(1, { confidence: 2 }), undefined, { code: 'invalid', field: 'confidence' }],
  ])('with %s is refused and nothing is kept', async (_what, body, hex, expected) => {
    expect(await put(body, hex === undefined ? {} : { hex })).toMatchObject({ status: 400, json: expected });
    expect([await rows(), (await hub.content.list()).length]).toEqual([[], 1]); // model.yaml alone
  });

  test('of a version that allows no capture is forbidden', async () => {
    await hub.db
      .updateTable('versions')
      .set({ privacy: JSON.stringify({ fallback: 'hub', capture: 'none', telemetry: 'figures' }) })
      .execute();
    expect(await put(digitSample(1))).toMatchObject({ status: 403, json: { code: 'forbidden' } });
  });

  test('needs a certificate and PUT', async () => {
    const stranger = new Agent({ connect: { ca: caPem } });
    expect(await put(digitSample(1), { as: stranger })).toMatchObject({ status: 401 });
    await stranger.destroy();
    expect(await put(digitSample(1), { method: 'GET' })).toMatchObject({ status: 405 });
  });

  test('that is too large is refused before it is read, and while it comes', async () => {
    const hex = hexOf(sha256('large'));
    const stated = await put(Buffer.alloc(LIMIT_SAMPLE_BYTES + 1), { hex });
    expect(stated).toMatchObject({ status: 413, json: { code: 'body-too-large' } });
    const chunks = Readable.from(
      (function* () {
        for (let at = 0; at <= LIMIT_SAMPLE_BYTES; at += 65_536) yield Buffer.alloc(65_536);
      })(),
    );
    const answer = await put(chunks, { hex }).catch((cause: unknown) => cause as Error);
    if (!(answer instanceof Error)) expect(answer).toMatchObject({ status: 413 }); // or cut while it still sent
  });
});

test('one device sends only so much at once, and is told when to come again', async () => {
  const slow = Array.from({ length: RECEIVED_LIMITS.bytesOfDevice / LIMIT_SAMPLE_BYTES }, () => new PassThrough());
  const hex = hexOf(sha256('slow'));
  const under = slow.map((body) => put(body, { hex })); // length unstated: each may take the most
  for (const body of slow) body.write('first');
  await expect.poll(async () => (await put(digitSample(1))).status).toBe(429);
  const refused = await put(digitSample(1));
  expect(refused).toMatchObject({ json: { code: 'busy' }, headers: { 'retry-after': '2' } });
  const other = await enrolled('cam-2');
  expect((await put(digitSample(1), { as: other.dispatcher })).status).toBe(201);
  await other.dispatcher.destroy();
  for (const body of slow) body.end();
  for (const { status } of await Promise.all(under)) expect(status).toBe(400);
  expect((await put(digitSample(2))).status).toBe(201);
});

test('a body that comes to a halt gives its room back, and its connection ends', async () => {
  const door = new SampleDoor({ take: async () => ({ id: sha256('x'), added: true }) }, 100);
  const failures: unknown[] = [];
  const server = createServer((incoming, response) => {
    door.answer(incoming, response, 'a'.repeat(64), 'cam-1').catch((cause: unknown) => failures.push(cause));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  // Two take all that one device may: a second round is refused with 429 unless the first gave it back.
  for (let round = 0; round < 2; round += 1) {
    const sockets = [1, 2].map(() => connect(port, '127.0.0.1'));
    for (const socket of sockets) {
      socket.write(`PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: ${LIMIT_SAMPLE_BYTES}\r\n\r\nabc`);
    }
    await Promise.all(sockets.map((socket) => once(socket.resume(), 'close')));
  }
  expect(failures.map((cause) => (cause as { status: number }).status)).toEqual([408, 408, 408, 408]);
  server.close();
});

test('a body that is whole is not timed any more, however long the store takes for it', async () => {
  const body = digitSample(1);
  const take = async () => {
    await setTimeout(300);
    return { id: sampleId(body), added: true };
  };
  const door = new SampleDoor({ take }, 50);
  const server = createServer(
    (incoming, response) => void door.answer(incoming, response, hexOf(sampleId(body)), 'cam-1'),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const answer = await request(`http://127.0.0.1:${port}/`, { method: 'PUT', body, reset: true });
  expect([answer.statusCode, await answer.body.json()]).toEqual([201, { id: sampleId(body) }]);
  server.close();
});

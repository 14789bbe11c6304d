import { createServer, type Server } from 'node:tls';
import { once } from 'node:events';
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { request } from 'undici';
import { initKeys, openCertificateAuthority } from '@tidegate/cloud-hub/security/certificate-authority.js';
import { enrol } from '@tidegate/edge-agent/identity/enrol.js';
import { hubDispatcher, hubSocket, trustOf, type HubTrust } from '@tidegate/edge-agent/identity/hub-transport.js';
import type { Identity } from '@tidegate/edge-agent/identity/identity.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { devicePaths } from '@tidegate/shared/wire/device-api.js';
import { startDeviceHub, type DeviceHub } from '../../support/device-hub.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('hub-transport');
let hub: DeviceHub;
let identity: Identity;
const ends: (() => unknown)[] = [];

beforeAll(async () => {
  hub = await startDeviceHub(newFolder());
  const modules = { files: systemFiles, clock: systemClock };
  const options = { dataDir: newFolder(), token: await hub.newToken(), name: 'cam-1' };
  identity = await enrol(options, modules, new AbortController().signal);
});
afterAll(() => hub.close());
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

const trust = (wallMs: number, floorMs = Date.now(), onClock?: HubTrust['onClock']): HubTrust =>
  trustOf(identity, { clock: { nowMs: () => wallMs }, floorMs: () => floorMs }, onClock);

async function desired(of: HubTrust, url = hub.url): Promise<number> {
  const dispatcher = hubDispatcher(of);
  try {
    const response = await request(url + devicePaths.desired, { dispatcher });
    await response.body.dump();
    return response.statusCode;
  } finally {
    await dispatcher.destroy();
  }
}

/** A TLS server with a certificate of a CA of its own; says what it heard. */
async function foreignServer(): Promise<{ port: number; heard: () => string }> {
  const keys = await initKeys(newFolder(), systemFiles, systemClock);
  const foreign = await openCertificateAuthority({ keys, clock: systemClock });
  const { keyPem, chainPem } = await foreign.issueServer(['127.0.0.1']);
  let heard = '';
  const server: Server = createServer({ key: keyPem, cert: chainPem }, (socket) => {
    socket.on('data', (data) => (heard += data.toString()));
    socket.on('error', () => undefined); // cut off by the device, as it should
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => new Promise((resolve) => server.close(resolve)));
  return { port: (server.address() as AddressInfo).port, heard: () => heard };
}

describe('the dispatcher', () => {
  it('ends what it is dialling when the agent stops, also at a hub that hangs', async () => {
    const silent = createTcpServer();
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    ends.push(() => new Promise((resolve) => silent.close(resolve)));
    const stop = new AbortController();
    const dialled = once(silent, 'connection') as Promise<[Socket]>;
    const url = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const answer = desired({ ...trust(Date.now()), signal: stop.signal }, url);
    const [socket] = await dialled;
    socket.resume();
    const closed = once(socket, 'close');
    stop.abort();
    await expect(answer).rejects.toMatchObject({ code: 'unreachable' });
    await closed;
  });

  it('reaches the hub with the device certificate, many times over new connections', async () => {
    for (let i = 0; i < 3; i += 1) expect(await desired(trust(Date.now()))).toBe(200);
  });

  it.each([
    ['1970', 0, 'behind'],
    ['2040', Date.UTC(2040, 0, 1), 'ahead'],
  ])('also under a clock at %s, which is reported (B1)', async (_name, wallMs, said) => {
    const clocks: string[] = [];
    expect(await desired(trust(wallMs, Date.now(), (clock) => void clocks.push(clock)))).toBe(200);
    expect(clocks).toEqual([said]);
  });

  it('tells a foreign server nothing', async () => {
    const { port, heard } = await foreignServer();
    const asked = desired(trust(Date.now()), `https://127.0.0.1:${port}`);
    await expect(asked).rejects.toMatchObject({ code: 'foreign-hub' });
    expect(heard()).toBe('');
  });

  it("names the clock where the hub's certificate has certainly ended", async () => {
    const asked = desired(trust(Date.now(), Date.now() + 500 * 86_400_000));
    await expect(asked).rejects.toMatchObject({ code: 'clock' });
  });
});

describe('the socket', () => {
  it('sends what was written early, once the hub is recognised', async () => {
    const socket = hubSocket(hub.url.replace('https:', 'mqtts:'), trust(Date.now()));
    ends.push(() => socket.destroy());
    socket.write('GET /v2 HTTP/1.1\r\nhost: hub\r\n\r\n');
    const answer = await new Promise<string>((resolve) => void socket.once('data', (data) => resolve(data.toString())));
    expect(answer).toContain('inference for cam-1');
  });

  it('tells a foreign server nothing of it', async () => {
    const { port, heard } = await foreignServer();
    const socket = hubSocket(`mqtts://127.0.0.1:${port}`, trust(Date.now()));
    socket.write('secret');
    const error = await new Promise((resolve) => void socket.once('error', resolve));
    expect(error).toMatchObject({ code: 'foreign-hub' });
    expect(heard()).toBe('');
  });
});

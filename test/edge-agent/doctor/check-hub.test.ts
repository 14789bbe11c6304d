// Against a real hub's device port, a hub of another CA, and ports where nobody answers.
import { createServer, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkHub, type HubAddress } from '@tidegate/edge-agent/doctor/check-hub.js';
import { enrol } from '@tidegate/edge-agent/identity/enrol.js';
import { trustOf } from '@tidegate/edge-agent/identity/hub-transport.js';
import type { Identity } from '@tidegate/edge-agent/identity/identity.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { startDeviceHub, type DeviceHub } from '../../support/device-hub.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('check-hub');
let hub: DeviceHub;
let other: DeviceHub;
let identity: Identity;

beforeAll(async () => {
  hub = await startDeviceHub(newFolder());
  other = await startDeviceHub(newFolder());
  const modules = { files: systemFiles, clock: systemClock };
  identity = await enrol({ dataDir: newFolder(), token: await hub.newToken() }, modules, new AbortController().signal);
});
afterAll(async () => {
  await hub.close();
  await other.close();
});

const addressOf = (url: string, mqttUrl = url.replace('https:', 'mqtts:')): HubAddress => ({
  ...{ url, mqttUrl },
  trust: trustOf(identity, { clock: systemClock, floorMs: () => 0 }),
});
const levels = (found: Awaited<ReturnType<typeof checkHub>>) =>
  found.findings.map(({ check, level }) => [check, level]);

async function unusedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('checkHub', () => {
  it('finds a hub well from its name to its messages, and measures the clock by it', async () => {
    const clock = { nowMs: () => Date.now() + 3_600_000 };
    const found = await checkHub(addressOf(hub.url), clock);
    expect(levels(found)).toEqual([
      ['hub name', 'ok'],
      ['hub port', 'ok'],
      ['hub certificate', 'ok'],
      ['hub answer', 'ok'],
      ['hub messages', 'ok'],
    ]);
    expect(found.findings[2]?.found).toMatch(/^TLSv1\.[23], trusted, valid until 20/);
    expect(Math.abs((found.skewMs ?? 0) - 3_600_000)).toBeLessThan(5000);
  });

  it('stops at the first cause: a foreign hub, a closed port, an unknown name', async () => {
    const foreign = await checkHub(addressOf(other.url), systemClock);
    expect(levels(foreign).at(-1)).toEqual(['hub certificate', 'fail']);
    expect(foreign.findings.at(-1)?.mend).toContain('enrol again');
    const closed = await checkHub(addressOf(`https://127.0.0.1:${await unusedPort()}`), systemClock);
    expect(levels(closed)).toEqual([
      ['hub name', 'ok'],
      ['hub port', 'fail'],
    ]);
    expect(closed.findings.at(-1)?.found).toContain('ECONNREFUSED');
    expect(levels(await checkHub(addressOf('https://nowhere.invalid:1'), systemClock))).toEqual([['hub name', 'fail']]);
  });

  it('only warns where messages do not come through: HTTPS still does', async () => {
    const found = await checkHub(addressOf(hub.url, `mqtts://127.0.0.1:${await unusedPort()}`), systemClock);
    expect(levels(found).at(-1)).toEqual(['hub messages', 'warn']);
  });

  it('asks a plain --hub without TLS', async () => {
    const server = (await import('node:http')).createServer((_, response) => response.end('{}')).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const found = await checkHub({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }, systemClock);
    server.close();
    expect(levels(found).map(([check]) => check)).toEqual(['hub name', 'hub port', 'hub answer']);
    expect(found.findings.every(({ level }) => level === 'ok')).toBe(true);
  });
});

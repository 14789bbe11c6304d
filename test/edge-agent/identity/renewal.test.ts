import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { request } from 'undici';
import { enrol } from '@tidegate/edge-agent/identity/enrol.js';
import { hubDispatcher, trustOf } from '@tidegate/edge-agent/identity/hub-transport.js';
import { loadIdentity, type Identity } from '@tidegate/edge-agent/identity/identity.js';
import { renewalDue, renewCertificate } from '@tidegate/edge-agent/identity/renewal.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { devicePaths } from '@tidegate/shared/wire/device-api.js';
import { startDeviceHub, type DeviceHub } from '../../support/device-hub.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('renewal');
const dayMs = 86_400_000;
const never = new AbortController().signal;
let hub: DeviceHub;
let dataDir: string;
let identity: Identity;

beforeAll(async () => {
  hub = await startDeviceHub(newFolder());
  dataDir = newFolder();
  const modules = { files: systemFiles, clock: systemClock };
  identity = await enrol({ dataDir, token: await hub.newToken(), name: 'cam-1' }, modules, never);
});
afterAll(() => hub.close());

async function withDispatcher<T>(
  of: Identity,
  use: (dispatcher: ReturnType<typeof hubDispatcher>) => Promise<T>,
): Promise<T> {
  const dispatcher = hubDispatcher(trustOf(of, { clock: systemClock, floorMs: () => 0 }));
  try {
    return await use(dispatcher);
  } finally {
    await dispatcher.destroy();
  }
}

const desired = (of: Identity): Promise<{ status: number; body: unknown }> =>
  withDispatcher(of, async (dispatcher) => {
    const { statusCode, body } = await request(hub.url + devicePaths.desired, { dispatcher });
    return { status: statusCode, body: await body.json() };
  });

describe('renewal (B3)', () => {
  it('is due from two thirds of the life on', () => {
    const fromMs = Date.parse(new X509Certificate(identity.certificatePem).validFrom);
    expect(renewalDue(identity.certificatePem, fromMs)).toBe(false);
    expect(renewalDue(identity.certificatePem, fromMs + 240 * dayMs)).toBe(false);
    expect(renewalDue(identity.certificatePem, fromMs + 245 * dayMs)).toBe(true);
    expect(renewalDue(identity.certificatePem, fromMs + 4000 * dayMs)).toBe(true);
  });

  it('brings back a device whose certificate expired 180 days ago, by its key alone', async () => {
    hub.clock.setWall(Date.now() + (365 + 180) * dayMs);
    expect(await desired(identity)).toMatchObject({ status: 403, body: { code: 'certificate-expired' } });
    const renewed = await withDispatcher(identity, (dispatcher) =>
      renewCertificate(dataDir, identity, { files: systemFiles, dispatcher }, never),
    );
    expect(renewed.keyPem).toBe(identity.keyPem);
    expect(renewed.certificatePem).not.toBe(identity.certificatePem);
    expect(await loadIdentity(dataDir, systemFiles)).toEqual(renewed);
    expect(await desired(renewed)).toMatchObject({ status: 200 });
    identity = renewed;
  });

  it('not one that was shut out', async () => {
    await hub.enrolment.revoke('cam-1', 'token:test');
    const renewing = withDispatcher(identity, (dispatcher) =>
      renewCertificate(dataDir, identity, { files: systemFiles, dispatcher }, never),
    );
    await expect(renewing).rejects.toMatchObject({ code: 'refused', hubCode: 'revoked' });
    expect(await desired(identity)).toMatchObject({ status: 403, body: { code: 'revoked' } });
  });
});

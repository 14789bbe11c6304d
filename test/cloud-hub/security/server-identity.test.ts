import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { initKeys, openCertificateAuthority } from '@tidegate/cloud-hub/security/certificate-authority.js';
import { renewingServerIdentity, type TlsIdentity } from '@tidegate/cloud-hub/security/server-identity.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('server-identity');

describe("the hub's own certificate", () => {
  it('is made anew while the hub runs, long before it ends, until it is closed', async () => {
    const clock = new ManualClock(Date.UTC(2026, 10, 24));
    const ca = await openCertificateAuthority({ keys: await initKeys(newFolder(), systemFiles, clock), clock });
    const identity = await renewingServerIdentity(['hub.example'], { ca, clock, log: silentLog });
    const first = new X509Certificate(identity.tls().cert);
    expect(first.checkHost('hub.example')).toBe('hub.example');
    const renewed = new Promise<TlsIdentity>((resolve) => identity.onRenewed(resolve));
    clock.advance(21 * 86_400_000);
    const second = new X509Certificate((await renewed).cert);
    expect(Date.parse(second.validTo)).toBeGreaterThan(Date.parse(first.validTo));
    expect(identity.tls().cert).toContain(second.toString());
    await new Promise((resolve) => setImmediate(resolve));
    identity.close();
    expect(clock.timerCount).toBe(0);
  });
});

import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { initKeys, openCertificateAuthority } from '@tidegate/cloud-hub/security/certificate-authority.js';
import { peerOf } from '@tidegate/cloud-hub/security/device-certificate.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('device-certificate');
const nowMs = Date.UTC(2026, 10, 24);
const newCa = async () => {
  const clock = new ManualClock(nowMs);
  return openCertificateAuthority({ keys: await initKeys(newFolder(), systemFiles, clock), clock });
};
const publicKeyPem = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  .publicKey.export({ format: 'pem', type: 'spki' })
  .toString();

describe('the peer of a connection', () => {
  it('is a device by a certificate of this CA, for a year', async () => {
    const ca = await newCa();
    const certificate = new X509Certificate((await ca.issueDevice('cam-1', publicKeyPem)).pem);
    expect(peerOf(certificate, ca, nowMs)).toEqual({ kind: 'device', deviceId: 'cam-1' });
    expect(peerOf(certificate, ca, nowMs + 366 * 86_400_000)).toEqual({ kind: 'expired', deviceId: 'cam-1' });
  });

  it("is foreign by another CA's certificate, the hub's own, or the CA itself", async () => {
    const ca = await newCa();
    const other = new X509Certificate((await (await newCa()).issueDevice('cam-1', publicKeyPem)).pem);
    const server = new X509Certificate((await ca.issueServer(['hub'])).chainPem);
    for (const certificate of [other, server, new X509Certificate(ca.certificatePem)]) {
      expect(peerOf(certificate, ca, nowMs)).toEqual({ kind: 'foreign' });
    }
    expect(peerOf(undefined, ca, nowMs)).toEqual({ kind: 'none' });
  });
});

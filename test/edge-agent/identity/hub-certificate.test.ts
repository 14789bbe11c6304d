import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  initKeys,
  openCertificateAuthority,
  type CertificateAuthority,
} from '@tidegate/cloud-hub/security/certificate-authority.js';
import { fingerprintOf, judgeHub } from '@tidegate/edge-agent/identity/hub-certificate.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('hub-certificate');
const nowMs = Date.UTC(2026, 10, 24);
const yearMs = 365 * 86_400_000;
const time = { wallMs: nowMs, floorMs: nowMs };
let ca: CertificateAuthority;
let caCertificate: X509Certificate;
let leaf: X509Certificate;

const newCa = async (): Promise<CertificateAuthority> => {
  const clock = new ManualClock(nowMs);
  return openCertificateAuthority({ keys: await initKeys(newFolder(), systemFiles, clock), clock });
};
const leafOf = async (authority: CertificateAuthority): Promise<X509Certificate> =>
  new X509Certificate((await authority.issueServer(['hub'])).chainPem);

beforeAll(async () => {
  ca = await newCa();
  caCertificate = new X509Certificate(ca.certificatePem);
  leaf = await leafOf(ca);
});

describe('judging the hub', () => {
  it('accepts its certificate by the pinned CA, or by a CA shown that has the fingerprint', () => {
    const presented = { leaf, chain: [leaf, caCertificate] };
    expect(judgeHub(presented, { certificate: caCertificate }, time)).toMatchObject({ ok: true, clock: 'plausible' });
    const byFingerprint = judgeHub(presented, { fingerprint: ca.fingerprint }, time);
    expect(byFingerprint.ok && fingerprintOf(byFingerprint.ca)).toBe(ca.fingerprint);
  });

  it('refuses everyone else', async () => {
    const other = await newCa();
    const otherLeaf = await leafOf(other);
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const issued = await ca.issueDevice('cam-1', publicKey.export({ format: 'pem', type: 'spki' }).toString());
    const device = new X509Certificate(issued.pem);
    const pinned = { certificate: caCertificate };
    for (const presented of [
      { leaf: otherLeaf, chain: [otherLeaf, new X509Certificate(other.certificatePem)] },
      { leaf: otherLeaf, chain: [otherLeaf, caCertificate] },
      { leaf: device, chain: [device, caCertificate] },
      { leaf: caCertificate, chain: [caCertificate] },
      { leaf: undefined, chain: [] },
    ]) {
      expect(judgeHub(presented, pinned, time)).toMatchObject({ ok: false, code: 'foreign-hub' });
      expect(judgeHub(presented, { fingerprint: ca.fingerprint }, time)).toMatchObject({ code: 'foreign-hub' });
    }
    expect(judgeHub({ leaf, chain: [leaf] }, { fingerprint: ca.fingerprint }, time)).toMatchObject({ ok: false });
  });

  it.each([
    ['1970', 0, 'behind'],
    ['2040', Date.UTC(2040, 0, 1), 'ahead'],
    ['2 hours ahead', nowMs + 7_200_000, 'plausible'],
  ])('a wall clock at %s is reported, and stops nothing (B1)', (_name, wallMs, clock) => {
    const verdict = judgeHub({ leaf, chain: [] }, { certificate: caCertificate }, { wallMs, floorMs: nowMs });
    expect(verdict).toMatchObject({ ok: true, clock });
  });

  it('a certificate that ended before the earliest possible now is refused, whatever the wall clock says', () => {
    const verdict = judgeHub(
      { leaf, chain: [] },
      { certificate: caCertificate },
      { wallMs: nowMs, floorMs: nowMs + 2 * yearMs },
    );
    expect(verdict).toMatchObject({ ok: false, code: 'clock' });
  });
});

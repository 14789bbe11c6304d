import { createPublicKey, generateKeyPairSync, randomBytes, sign, X509Certificate, type KeyObject } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { recordAudit } from '@tidegate/cloud-hub/security/audit.js';
import {
  initKeys,
  openCertificateAuthority,
  type CertificateAuthority,
} from '@tidegate/cloud-hub/security/certificate-authority.js';
import { Enrolment } from '@tidegate/cloud-hub/security/enrolment.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import {
  decodeToken,
  enrolProofText,
  type EnrolmentToken,
  type EnrolRequest,
} from '@tidegate/shared/wire/enrolment.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('enrolment');
let db: Database;
let clock: ManualClock;
let ca: CertificateAuthority;
let enrolment: Enrolment;

beforeEach(async () => {
  clock = new ManualClock(Date.UTC(2026, 10, 24));
  db = await openSqlite(':memory:');
  ca = await openCertificateAuthority({ keys: await initKeys(newFolder(), systemFiles, clock), clock });
  enrolment = await reopen();
});
afterEach(() => db.destroy());

const reopen = (): Promise<Enrolment> =>
  Enrolment.open({ db, ca, clock, audit: recordAudit, deviceUrl: () => 'https://hub.example:9443' });

async function newToken(uses = 1, expiresInSeconds = 3600): Promise<EnrolmentToken> {
  const { token } = await enrolment.create({ group: 'field', uses, expiresInSeconds }, 'token:admin');
  return decodeToken(token)!;
}

const newKey = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

function ask(token: EnrolmentToken, key: KeyObject, changes: Partial<EnrolRequest> = {}): EnrolRequest {
  const nonce = randomBytes(16).toString('hex');
  const proof = sign('sha256', Buffer.from(enrolProofText(token.id, nonce)), key).toString('base64');
  const publicKeyPem = publicPem(key);
  return { tokenId: token.id, secret: token.secret, publicKeyPem, nonce, proof, ...changes };
}

function publicPem(key: KeyObject): string {
  return createPublicKey(key).export({ format: 'pem', type: 'spki' }).toString();
}

const uses = async (id: string): Promise<number | undefined> =>
  (await db.selectFrom('enrolment_tokens').select('uses').where('id', '=', id).executeTakeFirst())?.uses;

describe('a token', () => {
  it('carries the CA and the address, and its secret is kept as a hash only', async () => {
    const token = await newToken();
    expect(token).toMatchObject({ caFingerprint: ca.fingerprint, deviceUrl: 'https://hub.example:9443' });
    const rows = JSON.stringify(await db.selectFrom('enrolment_tokens').selectAll().execute());
    expect(rows).not.toContain(token.secret);
    const audit = await db.selectFrom('audit').selectAll().execute();
    expect(audit).toMatchObject([{ actor: 'token:admin', action: 'enrolment-token.create' }]);
    expect(JSON.stringify(audit)).not.toContain(token.secret);
  });
});

describe('enrolling', () => {
  it('certifies the key under the wished name, in the group of the token', async () => {
    const key = newKey();
    const { device, certificatePem } = await enrolment.enrol(ask(await newToken(), key, { name: 'cam-1' }));
    expect(device).toMatchObject({ id: 'cam-1', name: 'cam-1', group: 'field' });
    const certificate = new X509Certificate(certificatePem);
    expect(certificate.subject).toBe('CN=cam-1');
    expect(certificate.checkPrivateKey(key)).toBe(true);
    expect(ca.issued(certificate)).toBe(true);
  });

  it('names a device without a wish after its key', async () => {
    const { device } = await enrolment.enrol(ask(await newToken(), newKey()));
    expect(device.id).toBe(`device-${device.publicKeyFingerprint.slice(0, 12)}`);
  });

  it('asked again with the same key and token: the same identity, no further use, also after the token has ended', async () => {
    const token = await newToken(1);
    const key = newKey();
    const first = await enrolment.enrol(ask(token, key, { name: 'cam-1' }));
    clock.advance(7_200_000);
    expect(await enrolment.enrol(ask(token, key, { name: 'other' }))).toEqual(first);
    expect(await uses(token.id)).toBe(1);
  });

  it('asked twice at once with the same key: one identity', async () => {
    const token = await newToken(1);
    const key = newKey();
    const [a, b] = await Promise.all([enrolment.enrol(ask(token, key)), enrolment.enrol(ask(token, key))]);
    expect(a).toEqual(b);
    expect(await uses(token.id)).toBe(1);
  });

  it('counts uses exactly when many ask at once', async () => {
    const token = await newToken(3);
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => enrolment.enrol(ask(token, newKey()))));
    const failed = results.filter((result) => result.status === 'rejected');
    expect(results.length - failed.length).toBe(3);
    for (const { reason } of failed) expect(reason).toMatchObject({ code: 'token-used-up' });
    expect(await uses(token.id)).toBe(3);
  });

  it('moves a device that enrols anew with its key to the group of the new token, keeping its name', async () => {
    const key = newKey();
    await enrolment.enrol(ask(await newToken(), key, { name: 'cam-1' }));
    const { token } = await enrolment.create({ group: 'lab', uses: 1, expiresInSeconds: 60 }, 'token:admin');
    const { device } = await enrolment.enrol(ask(decodeToken(token)!, key));
    expect(device).toMatchObject({ id: 'cam-1', group: 'lab' });
  });
});

describe('refusals, none of which counts a use', () => {
  const refusal = async (request: EnrolRequest, code: string, field?: string): Promise<void> => {
    const refused = expect(enrolment.enrol(request)).rejects;
    await refused.toMatchObject({ name: 'SecurityError', code, ...(field === undefined ? {} : { field }) });
  };

  it('unknown token, and a wrong secret', async () => {
    const token = await newToken();
    await refusal(ask({ ...token, id: 'ffff' }, newKey()), 'token-unknown', 'tokenId');
    await refusal(ask({ ...token, secret: 'guess' }, newKey()), 'token-unknown', 'tokenId');
    expect(await uses(token.id)).toBe(0);
    await enrolment.enrol(ask(token, newKey()));
  });

  it('expired token', async () => {
    const token = await newToken(1, 60);
    clock.advance(60_000);
    await refusal(ask(token, newKey()), 'token-expired', 'tokenId');
    expect(await uses(token.id)).toBe(0);
  });

  it('a key that the caller does not hold, and one of another kind', async () => {
    const token = await newToken();
    const request = ask(token, newKey());
    await refusal({ ...request, publicKeyPem: publicPem(newKey()) }, 'proof-invalid', 'proof');
    await refusal({ ...request, nonce: 'another-nonce-than-signed' }, 'proof-invalid', 'proof');
    await refusal({ ...request, publicKeyPem: 'x' }, 'key-invalid', 'publicKeyPem');
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;
    await refusal(ask(token, p384), 'key-invalid', 'publicKeyPem');
    expect(await uses(token.id)).toBe(0);
    await enrolment.enrol(request);
  });

  it('a name that another device has', async () => {
    const token = await newToken(2);
    await enrolment.enrol(ask(token, newKey(), { name: 'cam-1' }));
    await refusal(ask(token, newKey(), { name: 'cam-1' }), 'name-taken', 'name');
    expect(await uses(token.id)).toBe(1);
  });
});

describe('revoking and renewing', () => {
  it('shuts a device out, for good, also after a restart and with a new token', async () => {
    const key = newKey();
    await enrolment.enrol(ask(await newToken(), key, { name: 'cam-1' }));
    expect(enrolment.isRevoked('cam-1')).toBe(false);
    expect(await enrolment.revoke('cam-1', 'token:admin')).toBe(true);
    expect(await enrolment.revoke('cam-1', 'token:admin')).toBe(true);
    expect(await enrolment.revoke('nobody', 'token:admin')).toBe(false);
    expect(enrolment.isRevoked('cam-1')).toBe(true);
    expect((await reopen()).isRevoked('cam-1')).toBe(true);
    await expect(enrolment.enrol(ask(await newToken(), key))).rejects.toMatchObject({ code: 'revoked' });
    await expect(enrolment.renew('cam-1')).rejects.toMatchObject({ code: 'revoked' });
  });

  it('gives a new certificate for the same key', async () => {
    const key = newKey();
    const first = await enrolment.enrol(ask(await newToken(), key, { name: 'cam-1' }));
    clock.advance(200 * 86_400_000);
    const second = await enrolment.renew('cam-1');
    const certificate = new X509Certificate(second.certificatePem);
    expect(certificate.checkPrivateKey(key)).toBe(true);
    expect(Date.parse(certificate.validTo)).toBeGreaterThan(clock.nowMs() + 364 * 86_400_000);
    expect(second.device.certificateSerial).not.toBe(first.device.certificateSerial);
    await expect(enrolment.renew('nobody')).rejects.toMatchObject({ code: 'revoked' });
  });
});

// How a stranger becomes a device: a token that expires and counts its uses, and a key that never leaves the device. The hub
// keeps the hash of a token's secret; whoever reads the database can't enrol. A use is counted in the same transaction that
// records the identity, by a conditional update, so that a token with one use left enrols one of two callers at once.
//
// Asking again with the same key and token gives the same identity and counts nothing: the first answer may have been lost.
import { createHash, createPublicKey, randomBytes, timingSafeEqual, verify, type KeyObject } from 'node:crypto';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { createEnrolmentTokenSchema, enrolmentTokenCreatedSchema } from '@tidegate/shared/wire/admin-api.js';
import { encodeToken, enrolProofText, type EnrolRequest } from '@tidegate/shared/wire/enrolment.js';
import type { Selectable, Transaction } from 'kysely';
import type { z } from 'zod';
import type { EnrolledDevice } from '../fleet/fleet.js';
import type { Database, Tables } from '../storage/database.js';
import type { RecordAudit } from './audit.js';
import type { CertificateAuthority, IssuedCertificate } from './certificate-authority.js';
import { SecurityError } from './security-error.js';

interface EnrolmentModules {
  readonly db: Database;
  readonly ca: CertificateAuthority;
  readonly clock: Clock;
  readonly audit: RecordAudit;
  /** Base URL of the device port by which devices reach it; known once the port listens. */
  readonly deviceUrl: () => string;
}

interface Enrolled {
  readonly device: EnrolledDevice;
  readonly certificatePem: string;
}

type Identity = Selectable<Tables['device_identities']>;

export class Enrolment {
  readonly #m: EnrolmentModules;
  /** Ids of devices that are shut out; in memory, because every connection asks. */
  readonly #revoked: Set<string>;

  private constructor(modules: EnrolmentModules, revoked: Set<string>) {
    this.#m = modules;
    this.#revoked = revoked;
  }

  static async open(modules: EnrolmentModules): Promise<Enrolment> {
    const rows = await modules.db
      .selectFrom('device_identities')
      .select('device_id')
      .where('revoked_at', 'is not', null)
      .execute();
    return new Enrolment(modules, new Set(rows.map((row) => row.device_id)));
  }

  /** Makes a token; its text exists only in what this returns. */
  async create(
    request: z.infer<typeof createEnrolmentTokenSchema>,
    actor: string,
  ): Promise<z.infer<typeof enrolmentTokenCreatedSchema>> {
    const nowMs = this.#m.clock.nowMs();
    const id = randomBytes(8).toString('hex');
    const secret = randomBytes(32).toString('base64url');
    const expiresAt = new Date(nowMs + request.expiresInSeconds * 1000).toISOString();
    await this.#m.db.transaction().execute(async (trx) => {
      await trx
        .insertInto('enrolment_tokens')
        .values({
          id,
          secret_hash: hashOf(secret).toString('hex'),
          group_name: request.group,
          uses: 0,
          uses_max: request.uses,
          created_at: new Date(nowMs).toISOString(),
          expires_at: expiresAt,
        })
        .execute();
      const detail = { group: request.group, uses: request.uses, expiresAt };
      await this.#m.audit(
        trx,
        { actor, action: 'enrolment-token.create', subject: `enrolment-token:${id}`, detail },
        nowMs,
      );
    });
    const token = encodeToken({ id, secret, caFingerprint: this.#m.ca.fingerprint, deviceUrl: this.#m.deviceUrl() });
    return { id, token, expiresAt };
  }

  /**
   * Rejects with SecurityError `key-invalid`, `proof-invalid`, `token-unknown`, `token-expired`, `token-used-up`,
   * `name-taken` or `revoked`; then no use was counted.
   */
  async enrol(request: EnrolRequest): Promise<Enrolled> {
    const key = provenKey(request);
    const fingerprint = createHash('sha256')
      .update(key.export({ format: 'der', type: 'spki' }))
      .digest('hex');
    const token = await this.#token(request);
    const known = await this.#identityOfKey(this.#m.db, fingerprint);
    if (known?.revoked_at) throw new SecurityError('revoked', `the device ${known.device_id} was shut out`);
    if (known !== undefined && known.token_id === token.id) return enrolled(known);
    if (Date.parse(token.expires_at) <= this.#m.clock.nowMs()) {
      throw new SecurityError('token-expired', `the enrolment token expired at ${token.expires_at}`, {
        field: 'tokenId',
      });
    }
    const deviceId = known?.device_id ?? request.name ?? `device-${fingerprint.slice(0, 12)}`;
    const certificate = await this.#m.ca.issueDevice(deviceId, request.publicKeyPem);
    return this.#m.db.transaction().execute(async (trx) => {
      const meanwhile = await this.#identityOfKey(trx, fingerprint);
      if (meanwhile !== undefined && meanwhile.token_id === token.id) return enrolled(meanwhile); // asked twice at once
      await countUse(trx, token.id);
      return enrolled(
        await this.#record(trx, { deviceId, fingerprint, tokenId: token.id, group: token.group_name }, certificate),
      );
    });
  }

  /** A new certificate for the key that the device has (design: from 2/3 of a certificate's life). */
  async renew(deviceId: string): Promise<Enrolled> {
    const identity = await this.#identity(deviceId);
    if (identity === undefined || identity.revoked_at !== null) {
      throw new SecurityError('revoked', `the device ${deviceId} is not enrolled any more`);
    }
    const publicKeyPem = publicKeyOf(identity.certificate_pem);
    const certificate = await this.#m.ca.issueDevice(deviceId, publicKeyPem);
    const issuedAt = new Date(this.#m.clock.nowMs()).toISOString();
    const changes = { certificate_serial: certificate.serial, certificate_pem: certificate.pem, issued_at: issuedAt };
    await this.#m.db.transaction().execute(async (trx) => {
      await trx.updateTable('device_identities').set(changes).where('device_id', '=', deviceId).execute();
      const detail = { serial: certificate.serial };
      const entry = { actor: `device:${deviceId}`, action: 'device.renew', subject: deviceId, detail };
      await this.#m.audit(trx, entry, this.#m.clock.nowMs());
    });
    return enrolled({ ...identity, ...changes });
  }

  /** Shuts a device out from its next request on. False where there is no such device. */
  async revoke(deviceId: string, actor: string): Promise<boolean> {
    const nowMs = this.#m.clock.nowMs();
    const done = await this.#m.db.transaction().execute(async (trx) => {
      const { numUpdatedRows } = await trx
        .updateTable('device_identities')
        .set({ revoked_at: new Date(nowMs).toISOString() })
        .where('device_id', '=', deviceId)
        .where('revoked_at', 'is', null)
        .executeTakeFirst();
      if (numUpdatedRows === 0n) return false;
      await this.#m.audit(trx, { actor, action: 'device.revoke', subject: deviceId }, nowMs);
      return true;
    });
    if (done) this.#revoked.add(deviceId);
    return done || (await this.#identity(deviceId)) !== undefined;
  }

  /** What the device port and the broker ask for every connection. */
  isRevoked(deviceId: string): boolean {
    return this.#revoked.has(deviceId);
  }

  async #token(request: EnrolRequest): Promise<Selectable<Tables['enrolment_tokens']>> {
    const row = await this.#m.db
      .selectFrom('enrolment_tokens')
      .selectAll()
      .where('id', '=', request.tokenId)
      .executeTakeFirst();
    if (row === undefined || !timingSafeEqual(hashOf(request.secret), Buffer.from(row.secret_hash, 'hex'))) {
      throw new SecurityError('token-unknown', 'the enrolment token is not one of this hub', { field: 'tokenId' });
    }
    return row;
  }

  async #record(
    trx: Transaction<Tables>,
    wanted: { deviceId: string; fingerprint: string; tokenId: string; group: string },
    certificate: IssuedCertificate,
  ): Promise<Identity> {
    const identity: Identity = {
      device_id: wanted.deviceId,
      public_key_fingerprint: wanted.fingerprint,
      token_id: wanted.tokenId,
      group_name: wanted.group,
      certificate_serial: certificate.serial,
      certificate_pem: certificate.pem,
      issued_at: new Date(this.#m.clock.nowMs()).toISOString(),
      revoked_at: null,
    };
    const { device_id, public_key_fingerprint, ...changes } = identity;
    const { numInsertedOrUpdatedRows } = await trx
      .insertInto('device_identities')
      .values(identity)
      .onConflict((c) =>
        c
          .column('device_id')
          .doUpdateSet(changes)
          .where('device_identities.public_key_fingerprint', '=', public_key_fingerprint),
      )
      .executeTakeFirst();
    if (numInsertedOrUpdatedRows === 0n) {
      throw new SecurityError('name-taken', `another device is named ${device_id}`, { field: 'name' });
    }
    return identity;
  }

  #identity(deviceId: string): Promise<Identity | undefined> {
    return this.#m.db.selectFrom('device_identities').selectAll().where('device_id', '=', deviceId).executeTakeFirst();
  }

  #identityOfKey(db: Database | Transaction<Tables>, fingerprint: string): Promise<Identity | undefined> {
    return db
      .selectFrom('device_identities')
      .selectAll()
      .where('public_key_fingerprint', '=', fingerprint)
      .executeTakeFirst();
  }
}

async function countUse(trx: Transaction<Tables>, tokenId: string): Promise<void> {
  const { numUpdatedRows } = await trx
    .updateTable('enrolment_tokens')
    .set((e) => ({ uses: e('uses', '+', 1) }))
    .where('id', '=', tokenId)
    .whereRef('uses', '<', 'uses_max')
    .executeTakeFirst();
  if (numUpdatedRows === 0n) {
    throw new SecurityError('token-used-up', 'the enrolment token has no uses left', { field: 'tokenId' });
  }
}

/** The key of the request, once the caller has shown that it holds the private half. */
function provenKey(request: EnrolRequest): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey(request.publicKeyPem);
  } catch (cause) {
    throw new SecurityError('key-invalid', 'publicKeyPem is no public key', { cause, field: 'publicKeyPem' });
  }
  if (key.asymmetricKeyType !== 'ec') {
    throw new SecurityError('key-invalid', 'publicKeyPem is not a P-256 key', { field: 'publicKeyPem' });
  }
  const text = Buffer.from(enrolProofText(request.tokenId, request.nonce));
  if (!verify('sha256', text, key, Buffer.from(request.proof, 'base64'))) {
    throw new SecurityError('proof-invalid', 'proof is no signature by publicKeyPem over token and nonce', {
      field: 'proof',
    });
  }
  return key;
}

function enrolled(identity: Identity): Enrolled {
  return {
    device: {
      id: identity.device_id,
      name: identity.device_id,
      group: identity.group_name,
      certificateSerial: identity.certificate_serial,
      publicKeyFingerprint: identity.public_key_fingerprint,
    },
    certificatePem: identity.certificate_pem,
  };
}

function publicKeyOf(certificatePem: string): string {
  return createPublicKey(certificatePem).export({ format: 'pem', type: 'spki' }).toString();
}

function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

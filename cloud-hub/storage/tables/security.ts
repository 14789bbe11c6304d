// Tables of the trust side: tokens by which devices enrol, and the identities that were issued for them. Bearer tokens of
// people are in tokens.ts.
import type { Kysely, Migration } from 'kysely';

export interface SecurityTables {
  enrolment_tokens: {
    id: string;
    /** SHA-256 of the secret, hexadecimal. The secret has 256 random bits, so no slow hash is needed. */
    secret_hash: string;
    group_name: string;
    uses: number;
    uses_max: number;
    created_at: string;
    expires_at: string;
  };
  device_identities: {
    device_id: string;
    /** SHA-256 of the public key's SPKI, hexadecimal: one key, one device. */
    public_key_fingerprint: string;
    token_id: string;
    group_name: string;
    certificate_serial: string;
    certificate_pem: string;
    issued_at: string;
    revoked_at: string | null;
  };
}

export const securityMigration: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    await db.schema
      .createTable('enrolment_tokens')
      .addColumn('id', 'text', (c) => c.primaryKey())
      .addColumn('secret_hash', 'text', (c) => c.notNull())
      .addColumn('group_name', 'text', (c) => c.notNull())
      .addColumn('uses', 'integer', (c) => c.notNull().defaultTo(0))
      .addColumn('uses_max', 'integer', (c) => c.notNull())
      .addColumn('created_at', 'text', (c) => c.notNull())
      .addColumn('expires_at', 'text', (c) => c.notNull())
      .execute();
    await db.schema
      .createTable('device_identities')
      .addColumn('device_id', 'text', (c) => c.primaryKey())
      .addColumn('public_key_fingerprint', 'text', (c) => c.notNull().unique())
      .addColumn('token_id', 'text', (c) => c.notNull())
      .addColumn('group_name', 'text', (c) => c.notNull())
      .addColumn('certificate_serial', 'text', (c) => c.notNull())
      .addColumn('certificate_pem', 'text', (c) => c.notNull())
      .addColumn('issued_at', 'text', (c) => c.notNull())
      .addColumn('revoked_at', 'text')
      .execute();
  },
};

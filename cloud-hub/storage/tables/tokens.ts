// Bearer tokens of people and programs, and the migration that makes their table. Only the hash of a secret is kept.
import type { Kysely, Migration } from 'kysely';

interface TokenTable {
  readonly id: string;
  readonly name: string;
  /** SHA-256 of the secret, hexadecimal. The secret has 256 random bits, so no slow hash is needed. */
  readonly secret_hash: string;
  /** JSON array of scopes. */
  readonly scopes: string;
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly revoked_at: string | null;
}

export interface TokenTables {
  readonly tokens: TokenTable;
}

export const tokenMigration: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    await db.schema
      .createTable('tokens')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('secret_hash', 'text', (column) => column.notNull())
      .addColumn('scopes', 'text', (column) => column.notNull())
      .addColumn('created_at', 'text', (column) => column.notNull())
      .addColumn('expires_at', 'text')
      .addColumn('revoked_at', 'text')
      .execute();
  },
};

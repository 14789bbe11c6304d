// Bearer tokens: `tgk_<id>_<secret>`, shown once when made; the hub keeps the id and the secret's hash. Verified tokens are
// remembered for a moment, so that inference does not read the database for each request; a revoked token is forgotten at once.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Scope } from '@tidegate/shared/wire/admin-api.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Database } from '../storage/database.js';
import { recordAudit } from './audit.js';

const LIMIT_REMEMBERED = 1000;
const REMEMBER_MS = 10_000;

/** Who calls, as routes and the audit log see it. */
export interface Caller {
  /** `token:<name>`. */
  readonly actor: string;
  readonly tokenId: string;
  readonly scopes: readonly Scope[];
}

interface TokenInfo {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly createdAt: string;
  readonly expiresAt?: string;
  readonly revokedAt?: string;
}

interface NewToken {
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly expiresInSeconds?: number | undefined;
}

interface Remembered {
  readonly secretHash: Buffer;
  readonly caller: Caller;
  readonly expiresAtMs: number;
  readonly untilMs: number;
}

export class Tokens {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #remembered = new Map<string, Remembered>();

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  /** The only place where the token's text exists. */
  async create(wanted: NewToken, actor: string): Promise<{ token: string; info: TokenInfo }> {
    const nowMs = this.#clock.nowMs();
    const id = randomBytes(8).toString('hex');
    const secret = randomBytes(32).toString('base64url');
    const expiresAt =
      wanted.expiresInSeconds === undefined ? null : new Date(nowMs + wanted.expiresInSeconds * 1000).toISOString();
    const createdAt = new Date(nowMs).toISOString();
    await this.#db.transaction().execute(async (trx) => {
      await trx
        .insertInto('tokens')
        .values({
          id,
          name: wanted.name,
          secret_hash: hashOf(secret).toString('hex'),
          scopes: JSON.stringify(wanted.scopes),
          created_at: createdAt,
          expires_at: expiresAt,
          revoked_at: null,
        })
        .execute();
      const detail = { name: wanted.name, scopes: wanted.scopes, expiresAt };
      await recordAudit(trx, { actor, action: 'token.create', subject: `token:${id}`, detail }, nowMs);
    });
    const info = {
      id,
      name: wanted.name,
      scopes: wanted.scopes,
      createdAt,
      ...(expiresAt === null ? {} : { expiresAt }),
    };
    return { token: `tgk_${id}_${secret}`, info };
  }

  /** Undefined for a token that is unknown, wrong, expired or revoked. */
  async verify(text: string): Promise<Caller | undefined> {
    const match = /^tgk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/.exec(text);
    if (!match?.[1] || !match[2]) return undefined;
    const known = await this.#find(match[1]);
    if (known === undefined || known.expiresAtMs <= this.#clock.nowMs()) return undefined;
    return timingSafeEqual(hashOf(match[2]), known.secretHash) ? known.caller : undefined;
  }

  async list(query: { readonly limit: number; readonly afterId?: string }): Promise<TokenInfo[]> {
    let select = this.#db.selectFrom('tokens').selectAll().orderBy('id').limit(query.limit);
    if (query.afterId !== undefined) select = select.where('id', '>', query.afterId);
    return (await select.execute()).map((row) => ({
      id: row.id,
      name: row.name,
      scopes: JSON.parse(row.scopes) as Scope[],
      createdAt: row.created_at,
      ...(row.expires_at === null ? {} : { expiresAt: row.expires_at }),
      ...(row.revoked_at === null ? {} : { revokedAt: row.revoked_at }),
    }));
  }

  /** False where there is no such token. Revoking twice changes nothing. */
  async revoke(id: string, actor: string): Promise<boolean> {
    const nowMs = this.#clock.nowMs();
    const found = await this.#db.transaction().execute(async (trx) => {
      const row = await trx.selectFrom('tokens').select(['id', 'revoked_at']).where('id', '=', id).executeTakeFirst();
      if (row === undefined) return false;
      if (row.revoked_at !== null) return true;
      const revoked = { revoked_at: new Date(nowMs).toISOString() };
      await trx.updateTable('tokens').set(revoked).where('id', '=', id).execute();
      await recordAudit(trx, { actor, action: 'token.revoke', subject: `token:${id}` }, nowMs);
      return true;
    });
    this.#remembered.delete(id);
    return found;
  }

  async #find(id: string): Promise<Remembered | undefined> {
    const nowMs = this.#clock.monotonicMs();
    const remembered = this.#remembered.get(id);
    if (remembered !== undefined && remembered.untilMs > nowMs) return remembered;
    this.#remembered.delete(id);
    const row = await this.#db.selectFrom('tokens').selectAll().where('id', '=', id).executeTakeFirst();
    if (row === undefined || row.revoked_at !== null) return undefined;
    const found: Remembered = {
      secretHash: Buffer.from(row.secret_hash, 'hex'),
      caller: { actor: `token:${row.name}`, tokenId: id, scopes: JSON.parse(row.scopes) as Scope[] },
      expiresAtMs: row.expires_at === null ? Infinity : Date.parse(row.expires_at),
      untilMs: nowMs + REMEMBER_MS,
    };
    if (this.#remembered.size >= LIMIT_REMEMBERED) {
      const oldest = this.#remembered.keys().next().value;
      if (oldest !== undefined) this.#remembered.delete(oldest);
    }
    this.#remembered.set(id, found);
    return found;
  }
}

/** `admin` may do everything. */
export function mayUse(caller: Caller, scope: Scope): boolean {
  return caller.scopes.includes(scope) || caller.scopes.includes('admin');
}

/** The token of an `Authorization: Bearer ...` header. */
export function bearerOf(header: string | undefined): string | undefined {
  return /^Bearer ([A-Za-z0-9._~+/=-]{1,512})$/i.exec(header ?? '')?.[1];
}

function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

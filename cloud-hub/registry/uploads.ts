// Resumable uploads: create (says what will come), PUT each file in pieces at an offset, complete (publish.ts). What was received
// is on disk under its digest (content store), so an upload goes on after a lost connection or a restart of the hub, and a
// file that the hub holds already is complete from the start. Rows are bounded and expire; their partial files go with them.
import { randomBytes } from 'node:crypto';
import type { Clock } from '@tidegate/shared/system/clock.js';
import { ContentError } from '@tidegate/shared/content/content-error.js';
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import type { Upload } from '@tidegate/shared/wire/admin-api.js';
import type { FileEntry } from '@tidegate/shared/wire/manifest.js';
import type { Database } from '../storage/database.js';
import { recordAudit } from '../security/audit.js';
import { RegistryError } from './registry-error.js';

interface UploadLimits {
  readonly packageBytes: number;
  readonly openUploads: number;
  /** Time without a new piece after which an upload is forgotten. */
  readonly idleMs: number;
}

export const UPLOAD_LIMITS: UploadLimits = {
  packageBytes: 16 * 1024 ** 3,
  openUploads: 200,
  idleMs: 24 * 3600 * 1000,
};

interface NewUpload {
  readonly model: string;
  readonly files: readonly FileEntry[];
  readonly allowUnknownLicence: boolean;
}

export interface OpenUpload extends NewUpload {
  readonly id: string;
  /** The version that it became. */
  readonly version: number | undefined;
}

interface ReceivedFile {
  readonly receivedBytes: number;
  readonly complete: boolean;
}

export class Uploads {
  readonly #db: Database;
  readonly #content: ContentStore;
  readonly #clock: Clock;
  readonly #limits: UploadLimits;

  constructor(db: Database, content: ContentStore, clock: Clock, limits: UploadLimits = UPLOAD_LIMITS) {
    this.#db = db;
    this.#content = content;
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Rejects with RegistryError `invalid`, `too-large`, `conflict` (too many are open). */
  async create(wanted: NewUpload, actor: string): Promise<Upload> {
    checkFiles(wanted.files, this.#limits.packageBytes);
    const nowMs = this.#clock.nowMs();
    await this.removeExpired();
    const id = randomBytes(12).toString('hex');
    await this.#db.transaction().execute(async (trx) => {
      const open = await trx
        .selectFrom('uploads')
        .select(({ fn }) => fn.countAll<number>().as('count'))
        .where('version', 'is', null)
        .executeTakeFirstOrThrow();
      if (Number(open.count) >= this.#limits.openUploads) {
        throw new RegistryError('conflict', `${open.count} uploads are open, the limit; complete or abandon some`);
      }
      const files = [...wanted.files].sort((a, b) => (a.path < b.path ? -1 : 1));
      await trx
        .insertInto('uploads')
        .values({
          id,
          model: wanted.model,
          files: JSON.stringify(files),
          allow_unknown_licence: wanted.allowUnknownLicence ? 1 : 0,
          created_at: new Date(nowMs).toISOString(),
          expires_at: new Date(nowMs + this.#limits.idleMs).toISOString(),
          version: null,
        })
        .execute();
      const detail = { upload: id, files: files.length };
      await recordAudit(trx, { actor, action: 'model.upload', subject: wanted.model, detail }, nowMs);
    });
    return this.show(id);
  }

  /** Undefined for an upload that never was, or has expired. */
  async find(id: string): Promise<OpenUpload | undefined> {
    const row = await this.#db.selectFrom('uploads').selectAll().where('id', '=', id).executeTakeFirst();
    if (row === undefined || Date.parse(row.expires_at) <= this.#clock.nowMs()) return undefined;
    return {
      id,
      model: row.model,
      files: JSON.parse(row.files) as FileEntry[],
      allowUnknownLicence: row.allow_unknown_licence !== 0,
      version: row.version ?? undefined,
    };
  }

  async get(id: string): Promise<OpenUpload> {
    const upload = await this.find(id);
    if (upload === undefined)
      throw new RegistryError('not-found', `no upload ${id}, or it has expired`, { field: 'id' });
    return upload;
  }

  async show(id: string): Promise<Upload> {
    const { model, files } = await this.get(id);
    const shown = await Promise.all(files.map(async (file) => ({ ...file, ...(await this.#received(file)) })));
    return { id, model, files: shown };
  }

  /**
   * Appends a piece of the file with this digest at `offsetBytes`, which must be what the hub has. A connection that breaks keeps what
   * came. Rejects with RegistryError: `conflict` (other offset, or another writer), `invalid` (digest, surplus), `no-space`.
   */
  async receive(id: string, hex: string, offsetBytes: number, piece: AsyncIterable<Uint8Array>): Promise<ReceivedFile> {
    const upload = await this.get(id);
    const file = upload.files.find((entry) => entry.digest === `sha256:${hex}`);
    if (file === undefined) {
      throw new RegistryError('not-found', `the upload has no file with the digest ${hex}`, { field: 'hex' });
    }
    if (await this.#content.has(file.digest)) return { receivedBytes: file.sizeBytes, complete: true };
    await this.#touch(id);
    try {
      return await this.#append(file, offsetBytes, piece);
    } catch (cause) {
      throw asRegistryError(cause, file.path);
    }
  }

  /** Forgets uploads that nobody continued, with those of their files that nothing else needs. Returns how many. */
  async removeExpired(): Promise<number> {
    const now = new Date(this.#clock.nowMs()).toISOString();
    const expired = await this.#db
      .selectFrom('uploads')
      .select(['files', 'version'])
      .where('expires_at', '<=', now)
      .execute();
    if (expired.length === 0) return 0;
    await this.#db.deleteFrom('uploads').where('expires_at', '<=', now).execute();
    for (const { files, version } of expired) {
      if (version !== null) continue; // its files are a version's now
      for (const file of JSON.parse(files) as FileEntry[]) {
        if (!(await this.#isNeeded(file))) await this.#discard(file);
      }
    }
    return expired.length;
  }

  /** By another open upload, a version or a variant. */
  async #isNeeded({ digest }: FileEntry): Promise<boolean> {
    const holds = `%"${digest}"%`;
    for (const table of ['versions', 'variants'] as const) {
      const row = await this.#db.selectFrom(table).select('digest').where('manifest', 'like', holds).executeTakeFirst();
      if (row !== undefined) return true;
    }
    const open = this.#db.selectFrom('uploads').select('id').where('version', 'is', null);
    return (await open.where('files', 'like', holds).executeTakeFirst()) !== undefined;
  }

  async #append(file: FileEntry, offsetBytes: number, piece: AsyncIterable<Uint8Array>): Promise<ReceivedFile> {
    const partial = await this.#content.resume(file);
    try {
      if (partial.offsetBytes !== offsetBytes) {
        throw new RegistryError('conflict', `${file.path}: the next piece begins at ${partial.offsetBytes}`, {
          field: 'offset',
        });
      }
      for await (const chunk of piece) await partial.write(chunk);
      if (partial.offsetBytes < file.sizeBytes) return { receivedBytes: partial.offsetBytes, complete: false };
      await partial.finish();
      return { receivedBytes: file.sizeBytes, complete: true };
    } finally {
      await partial.pause(); // nothing where it is finished or discarded
    }
  }

  async #received(file: FileEntry): Promise<ReceivedFile> {
    if (await this.#content.has(file.digest)) return { receivedBytes: file.sizeBytes, complete: true };
    return { receivedBytes: await this.#content.partialBytes(file.digest), complete: false };
  }

  async #touch(id: string): Promise<void> {
    const expires_at = new Date(this.#clock.nowMs() + this.#limits.idleMs).toISOString();
    await this.#db.updateTable('uploads').set({ expires_at }).where('id', '=', id).execute();
  }

  async #discard(file: FileEntry): Promise<void> {
    await this.#content.remove(file.digest);
    if ((await this.#content.partialBytes(file.digest)) === 0) return;
    try {
      await (await this.#content.resume(file)).discard();
    } catch (cause) {
      if (!(cause instanceof ContentError)) throw cause; // busy or no space: what is left of it is small
    }
  }
}

function checkFiles(files: readonly FileEntry[], limitBytes: number): void {
  const sizes = new Map<string, number>();
  const paths = new Set<string>();
  for (const [index, file] of files.entries()) {
    const lower = file.path.toLowerCase();
    if (paths.has(lower)) {
      throw new RegistryError('invalid', `${file.path} is listed twice`, { field: `files/${index}/path` });
    }
    paths.add(lower);
    const known = sizes.get(file.digest);
    if (known !== undefined && known !== file.sizeBytes) {
      throw new RegistryError('invalid', `${file.path}: equal digests with different sizes`, {
        field: `files/${index}/sizeBytes`,
      });
    }
    sizes.set(file.digest, file.sizeBytes);
  }
  for (const path of paths) {
    for (let cut = path.lastIndexOf('/'); cut > 0; cut = path.lastIndexOf('/', cut - 1)) {
      const folder = path.slice(0, cut);
      if (paths.has(folder))
        throw new RegistryError('invalid', `${folder} is both a file and a folder`, { field: 'files' });
    }
  }
  const totalBytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  if (totalBytes > limitBytes) {
    throw new RegistryError('too-large', `the package has ${totalBytes} bytes; at most ${limitBytes} are taken`, {
      field: 'files',
    });
  }
}

function asRegistryError(cause: unknown, path: string): unknown {
  if (!(cause instanceof ContentError)) return cause;
  const field = `files/${path}`;
  if (cause.code === 'no-space') return new RegistryError('no-space', `${path}: ${cause.message}`, { cause, field });
  if (cause.code === 'busy') return new RegistryError('conflict', `${path}: ${cause.message}`, { cause, field });
  return new RegistryError('invalid', `${path}: ${cause.message}`, { cause, field });
}

// The device's side of The Update Framework: which bytes the release keys signed for a target path, now.
//
// tuf-js does the client workflow; what it lacks is here. Its storage is plain writes, so each check runs in a scratch copy and
// what it verified is then written back atomically. A root.json that can't be read is replaced by the factory root of the
// enrolment, from which the client walks on. Each check uses a fresh Updater, because a reused one accepts what it should
// not (tuf-conformance). Expiry is judged by trusted time.
//
// A target, once verified, is recorded and stays usable without network and whatever expires later (field lesson B2);
// only `verifiedTarget` authorises something new.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Updater, type TargetFile } from 'tuf-js';
import type { Dispatcher } from 'undici';
import { z } from 'zod';
import type { Files } from '../system/files.js';
import { signedAtMs } from '../wire/tuf-time.js';
import type { TrustedTime } from './trusted-time.js';
import { TufError } from './tuf-error.js';
import { TufFetcher } from './tuf-fetcher.js';

/** Largest target that the client takes: targets are manifests, files go by their own digest. */
const LIMIT_TARGET_BYTES = 4 * 1024 * 1024;
/** In the order in which they are written back: root first, so that what follows can be verified after a power cut. */
const ROLES = ['root', 'timestamp', 'snapshot', 'targets'] as const;

interface TufClientOptions {
  readonly folder: string;
  /** `https://hub:9443/tuf/image/metadata/` */
  readonly metadataUrl: string;
  /** `https://hub:9443/tuf/image/targets/` */
  readonly targetsUrl: string;
  /** root.json that came with the enrolment; any version. */
  readonly factoryRoot: string;
  /** For one answer of the repository. Default 30 s. */
  readonly timeoutMs?: number;
}

interface TufClientModules {
  readonly files: Files;
  readonly dispatcher: Dispatcher;
  readonly trustedTime: TrustedTime;
}

interface VerifiedTarget {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** The signed custom metadata of the target; an empty object where there are none. */
  readonly custom: Readonly<Record<string, unknown>>;
}

const recordSchema = z.strictObject({
  path: z.string(),
  sha256: z.string(),
  custom: z.record(z.string(), z.unknown()),
  contentBase64: z.string(),
});

export class TufClient {
  readonly #options: TufClientOptions;
  readonly #modules: TufClientModules;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(options: TufClientOptions, modules: TufClientModules) {
    this.#options = options;
    this.#modules = modules;
  }

  /** Makes its folder; asks nothing of the network. */
  static async open(options: TufClientOptions, modules: TufClientModules): Promise<TufClient> {
    for (const folder of ['metadata', 'verified']) {
      await modules.files.makeFolder('tuf.open', join(options.folder, folder));
    }
    return new TufClient(options, modules);
  }

  /**
   * Refreshes the metadata, then fetches and verifies the target. One check at a time. Rejects with TufError, or with the
   * signal's reason; what was verified before the failure is kept, and nothing else.
   */
  verifiedTarget(path: string, signal: AbortSignal): Promise<VerifiedTarget> {
    const check = this.#last.then(() => this.#verify(path, signal));
    this.#last = check.catch(() => undefined); // the caller has the error; the next check starts regardless
    return check;
  }

  /** A target that was verified earlier, without network; undefined where there is none or its record is damaged. */
  async cachedTarget(path: string): Promise<VerifiedTarget | undefined> {
    let text: string;
    try {
      text = Buffer.from(await this.#modules.files.read('tuf.cached', this.#recordPath(path))).toString('utf8');
    } catch {
      return undefined; // never verified here
    }
    try {
      const record = recordSchema.parse(JSON.parse(text));
      const bytes = Buffer.from(record.contentBase64, 'base64');
      if (record.path !== path || sha256Hex(bytes) !== record.sha256) return undefined;
      return { path, bytes, custom: record.custom };
    } catch {
      return undefined; // damaged: the next contact verifies it anew
    }
  }

  /** Forgets verified targets that are not named, so that the folder doesn't grow for ever. */
  async forgetExcept(paths: Iterable<string>): Promise<void> {
    const keep = new Set([...paths].map((path) => this.#recordPath(path)));
    const folder = join(this.#options.folder, 'verified');
    for (const name of await this.#modules.files.list('tuf.list', folder)) {
      if (!keep.has(join(folder, name))) await this.#modules.files.remove('tuf.forget', join(folder, name));
    }
  }

  async #verify(path: string, signal: AbortSignal): Promise<VerifiedTarget> {
    signal.throwIfAborted();
    const { files, dispatcher } = this.#modules;
    const scratch = join(this.#options.folder, 'scratch');
    const timeoutMs = this.#options.timeoutMs ?? 30_000;
    const fetcher = new TufFetcher({ dispatcher, signal, folder: scratch, timeoutMs });
    try {
      await files.remove('tuf.scratch', scratch);
      await files.makeFolder('tuf.scratch', scratch);
      const before = await this.#copyIn(scratch);
      const updater = await this.#updater(scratch, fetcher);
      try {
        await updater.refresh();
      } finally {
        await this.#writeBack(scratch, before);
      }
      await this.#observeTime(scratch);
      const info = await updater.getTargetInfo(path);
      if (info === undefined) throw new TufError('unknown-target', `the signed metadata name no target ${path}`);
      const bytes = await this.#targetBytes(updater, info, scratch);
      const target = { path, bytes, custom: info.custom };
      await this.#record(target);
      return target;
    } catch (cause) {
      signal.throwIfAborted();
      throw classified(cause, fetcher.failure);
    } finally {
      await files.remove('tuf.scratch', scratch);
    }
  }

  /** Copies what was verified earlier; returns it by role. */
  async #copyIn(scratch: string): Promise<Map<string, Buffer>> {
    const known = new Map<string, Buffer>();
    for (const role of ROLES) {
      const path = this.#metadataPath(role);
      if ((await this.#modules.files.sizeBytes('tuf.stat', path)) === undefined) continue;
      const bytes = Buffer.from(await this.#modules.files.read('tuf.load', path));
      known.set(role, bytes);
      await this.#modules.files.append('tuf.scratch', join(scratch, `${role}.json`), bytes);
    }
    return known;
  }

  async #updater(scratch: string, fetcher: TufFetcher): Promise<Updater> {
    const make = (): Updater => {
      const updater = new Updater({
        metadataDir: scratch,
        metadataBaseUrl: this.#options.metadataUrl,
        targetDir: scratch,
        targetBaseUrl: this.#options.targetsUrl,
        fetcher,
        config: { targetsMaxLength: 16 * 1024 * 1024 },
      });
      // tuf-js reads the wall clock once, here; expiry is to be judged by trusted time instead.
      (updater as unknown as { trustedSet: { referenceTime: Date } }).trustedSet.referenceTime = new Date(
        this.#modules.trustedTime.nowMs(),
      );
      return updater;
    };
    try {
      return make();
    } catch {
      // No root yet, or one that a power cut or the disk damaged: start from the factory's.
      const path = join(scratch, 'root.json');
      await this.#modules.files.writeAtomic('tuf.scratch', path, this.#options.factoryRoot);
      return make();
    }
  }

  async #writeBack(scratch: string, before: ReadonlyMap<string, Buffer>): Promise<void> {
    for (const role of ROLES) {
      const path = join(scratch, `${role}.json`);
      if ((await this.#modules.files.sizeBytes('tuf.stat', path)) === undefined) continue;
      const bytes = Buffer.from(await this.#modules.files.read('tuf.load', path));
      if (before.get(role)?.equals(bytes) === true) continue;
      await this.#modules.files.writeAtomic('tuf.persist', this.#metadataPath(role), bytes);
    }
  }

  async #observeTime(scratch: string): Promise<void> {
    const timestamp = await this.#modules.files.read('tuf.load', join(scratch, 'timestamp.json'));
    const verifiedMs = signedAtMs(timestamp);
    if (verifiedMs !== undefined) await this.#modules.trustedTime.observe(verifiedMs);
  }

  async #targetBytes(updater: Updater, info: TargetFile, scratch: string): Promise<Buffer> {
    if (info.length > LIMIT_TARGET_BYTES) {
      throw new TufError(
        'refused',
        `target ${info.path} has ${info.length} bytes; at most ${LIMIT_TARGET_BYTES} are taken`,
      );
    }
    const path = join(scratch, 'target');
    const cached = await this.cachedTarget(info.path);
    if (cached !== undefined) await this.#modules.files.writeAtomic('tuf.scratch', path, cached.bytes);
    const found = (await updater.findCachedTarget(info, path)) ?? (await updater.downloadTarget(info, path));
    const bytes = Buffer.from(await this.#modules.files.read('tuf.load', found));
    await info.verify(Readable.from([bytes]));
    return bytes;
  }

  async #record(target: VerifiedTarget): Promise<void> {
    const record: z.infer<typeof recordSchema> = {
      path: target.path,
      sha256: sha256Hex(target.bytes),
      custom: { ...target.custom },
      contentBase64: Buffer.from(target.bytes).toString('base64'),
    };
    await this.#modules.files.writeAtomic('tuf.record', this.#recordPath(target.path), JSON.stringify(record));
  }

  #metadataPath(role: string): string {
    return join(this.#options.folder, 'metadata', `${role}.json`);
  }

  #recordPath(targetPath: string): string {
    return join(this.#options.folder, 'verified', `${sha256Hex(Buffer.from(targetPath))}.json`);
  }
}

function sha256Hex(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** tuf-js's errors by what they mean for the caller. */
function classified(cause: unknown, transportFailure: unknown): TufError {
  if (cause instanceof TufError) return cause;
  if (transportFailure !== undefined) {
    const reason = transportFailure instanceof Error ? transportFailure.message : String(transportFailure);
    return new TufError('unreachable', `the update repository can't be reached: ${reason}`, {
      cause: transportFailure,
    });
  }
  const message = cause instanceof Error ? cause.message : String(cause);
  if (/^E[A-Z]+$/.test((cause as NodeJS.ErrnoException).code ?? '') || message.startsWith('Failed to persist')) {
    return new TufError('storage', `update metadata could not be stored: ${message}`, { cause });
  }
  if (/is expired/.test(message)) return new TufError('expired', `update metadata: ${message}`, { cause });
  return new TufError('refused', `update metadata or target refused: ${message}`, { cause });
}

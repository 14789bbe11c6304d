// The hub's side of The Update Framework: signs which manifests devices may install, as a repository with consistent
// snapshots. Files under the data folder, served as they are at /tuf/image/:
//   metadata/N.root.json N.targets.json N.snapshot.json timestamp.json      targets/<folder>/<sha256>.<name>
//
// Write order makes it safe to die at any moment: target bytes, targets.json, snapshot.json, and last timestamp.json, which is
// the only file that is ever replaced and the one that makes the others count. Numbers of files that a killed run left
// behind are never used again, so a served name never changes its content. Changes are serialised.
import { createHash, createPublicKey, sign, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { Key, Metadata, MetaFile, Root, Signature, Snapshot, TargetFile, Targets, Timestamp } from '@tufjs/models';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { SIGNED_AT_FIELD } from '@tidegate/shared/wire/tuf-time.js';
import { KeyStore, TUF_ROLES, type TufRole } from './key-store.js';
import { SecurityError } from './security-error.js';
import { readNewest, type SignedSet } from './tuf-repository-state.js';

const DAY_MS = 86_400_000;
/** Each role is signed anew when less than half of its validity remains. */
export const TUF_VALIDITY_MS: Readonly<Record<TufRole, number>> = {
  root: 3650 * DAY_MS,
  targets: 365 * DAY_MS,
  snapshot: 30 * DAY_MS,
  timestamp: 7 * DAY_MS,
};
const RENEWAL_CHECK_MS = 3_600_000;
/** `variants/<hex>.json`: plain segments, so that a path is a file name and a URL as it stands. */
const TARGET_PATH = /^[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9][A-Za-z0-9._-]*){0,7}$/;

interface TufRepositoryOptions {
  /** `<data-dir>/tuf` */
  readonly folder: string;
  readonly validityMs?: Readonly<Record<TufRole, number>>;
}

interface TufRepositoryModules {
  readonly keys: KeyStore;
  readonly files: Files;
  readonly clock: Clock;
  readonly log: Log;
}

export interface NewTarget {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Signed along with the target; JSON. */
  readonly custom?: Readonly<Record<string, unknown>>;
}

/**
 * Opens the repository, making and signing the first, empty one where there is none. Signs anew what is near its end.
 * Rejects with SecurityError `keys-missing` only where there is no repository yet.
 */
export async function openTufRepository(
  options: TufRepositoryOptions,
  modules: TufRepositoryModules,
): Promise<TufRepository> {
  const repository = new TufRepository(options, modules);
  await repository.open();
  return repository;
}

export class TufRepository {
  readonly #folder: string;
  readonly #validityMs: Readonly<Record<TufRole, number>>;
  readonly #modules: TufRepositoryModules;
  #root: Metadata<Root> | undefined;
  #current: SignedSet | undefined;
  /** Highest number ever written per role, also by a run that was killed before it counted. */
  #highest: Readonly<Record<'root' | 'targets' | 'snapshot', number>> = { root: 0, targets: 0, snapshot: 0 };
  #last: Promise<unknown> = Promise.resolve();
  #cancelTimer: () => void = () => undefined;

  constructor(options: TufRepositoryOptions, modules: TufRepositoryModules) {
    this.#folder = options.folder;
    this.#validityMs = options.validityMs ?? TUF_VALIDITY_MS;
    this.#modules = modules;
  }

  async open(): Promise<void> {
    const { files } = this.#modules;
    await files.makeFolder('tuf.open', join(this.#folder, 'metadata'));
    await files.makeFolder('tuf.open', join(this.#folder, 'targets'));
    const { root, current, highest } = await readNewest(join(this.#folder, 'metadata'), files);
    this.#root = root;
    this.#current = current;
    this.#highest = highest;
    if (current === undefined) await this.#serialised(() => this.#signFirst());
    else await this.renew();
    this.#arm();
  }

  close(): void {
    this.#cancelTimer();
  }

  /** The newest root.json, for enrolment. */
  root(): string {
    if (this.#root === undefined) throw new SecurityError('metadata-damaged', 'the update repository is not open');
    return serialise(this.#root);
  }

  /** Path on disk of a file under `metadata/`; undefined for a name that no metadata file can have. */
  metadataPath(name: string): string | undefined {
    return /^(\d{1,9}\.(root|targets|snapshot)|timestamp)\.json$/.test(name)
      ? join(this.#folder, 'metadata', name)
      : undefined;
  }

  /** Path on disk of a file under `targets/`; undefined for a path that no target can have. */
  targetPath(path: string): string | undefined {
    return TARGET_PATH.test(path) ? join(this.#folder, 'targets', path) : undefined;
  }

  /** Whether exactly these bytes are signed for this path now. */
  has(path: string, bytes: Uint8Array): boolean {
    return this.#signed().targets.signed.targets[path]?.hashes['sha256'] === sha256Hex(bytes);
  }

  addTarget(path: string, bytes: Uint8Array, custom: Readonly<Record<string, unknown>> = {}): Promise<void> {
    return this.addTargets([{ path, bytes, custom }]);
  }

  /**
   * Signs new targets, all with one signature; same path, bytes and custom as before change nothing. When it has resolved,
   * devices get them. Rejects with SecurityError `target-path` or `keys-missing`; then nothing has changed.
   */
  addTargets(targets: readonly NewTarget[]): Promise<void> {
    return this.#serialised(() => this.#add(targets));
  }

  /** Signs anew every role of which less than half its validity remains. Missing keys are logged, not thrown. */
  renew(): Promise<void> {
    return this.#serialised(async () => {
      const { targets, snapshot, timestamp } = this.#signed();
      const due = {
        root: this.#isDue('root', this.#root?.signed.expires ?? ''),
        targets: this.#isDue('targets', targets.signed.expires),
        snapshot: this.#isDue('snapshot', snapshot.signed.expires),
        timestamp: this.#isDue('timestamp', timestamp.signed.expires),
      };
      try {
        if (due.root) await this.#signRoot();
        if (due.targets) await this.#publish(this.#signed().targets.signed.targets);
        else if (due.snapshot) await this.#publishSnapshot(this.#signed().targets);
        else if (due.timestamp) await this.#publishTimestamp(this.#signed().targets, this.#signed().snapshot);
      } catch (cause) {
        if (!(cause instanceof SecurityError)) throw cause;
        this.#modules.log.warn({ err: cause }, 'update metadata could not be signed anew; devices will see it expire');
      }
    });
  }

  async #add(added: readonly NewTarget[]): Promise<void> {
    const targets = { ...this.#signed().targets.signed.targets };
    let changed = false;
    for (const { path, bytes, custom } of added) {
      if (!TARGET_PATH.test(path))
        throw new SecurityError('target-path', `not a target path: ${path}`, { field: 'path' });
      const hash = sha256Hex(bytes);
      const target = new TargetFile({
        path,
        length: bytes.byteLength,
        hashes: { sha256: hash },
        unrecognizedFields: custom === undefined ? {} : { custom: JSON.parse(JSON.stringify(custom)) },
      });
      if (isDeepStrictEqual(targets[path]?.toJSON(), target.toJSON())) continue;
      targets[path] = target;
      changed = true;
      const slash = path.lastIndexOf('/') + 1;
      const file = `${path.slice(0, slash)}${hash}.${path.slice(slash)}`;
      await this.#modules.files.writeAtomic('tuf.target', join(this.#folder, 'targets', file), bytes);
    }
    if (changed) await this.#publish(targets);
  }

  /** Signs the first, empty repository. */
  async #signFirst(): Promise<void> {
    await this.#signRoot();
    await this.#publish({});
  }

  /** Signs the next root with the keys of the key store. The old root's key is the same, so devices can walk to it. */
  async #signRoot(): Promise<void> {
    const { keys } = this.#modules;
    const root = new Root({ version: this.#highest.root + 1, specVersion: '1.0.31', expires: this.#expires('root') });
    for (const role of TUF_ROLES) root.addKey(publicTufKey(await keys.privateKey(`tuf-${role}`)), role);
    const signed = await this.#sign('root', new Metadata(root));
    await this.#write(`${root.version}.root.json`, signed);
    this.#highest = { ...this.#highest, root: root.version };
    this.#root = signed;
  }

  async #publish(targets: Record<string, TargetFile>): Promise<void> {
    const version = this.#highest.targets + 1;
    const signed = await this.#sign(
      'targets',
      new Metadata(new Targets({ version, specVersion: '1.0.31', expires: this.#expires('targets'), targets })),
    );
    await this.#write(`${version}.targets.json`, signed);
    this.#highest = { ...this.#highest, targets: version };
    await this.#publishSnapshot(signed);
  }

  async #publishSnapshot(targets: Metadata<Targets>): Promise<void> {
    const version = this.#highest.snapshot + 1;
    const signed = await this.#sign(
      'snapshot',
      new Metadata(
        new Snapshot({
          version,
          specVersion: '1.0.31',
          expires: this.#expires('snapshot'),
          meta: { 'targets.json': metaFile(targets) },
        }),
      ),
    );
    await this.#write(`${version}.snapshot.json`, signed);
    this.#highest = { ...this.#highest, snapshot: version };
    await this.#publishTimestamp(targets, signed);
  }

  async #publishTimestamp(targets: Metadata<Targets>, snapshot: Metadata<Snapshot>): Promise<void> {
    const signed = await this.#sign(
      'timestamp',
      new Metadata(
        new Timestamp({
          version: (this.#current?.timestamp.signed.version ?? 0) + 1,
          specVersion: '1.0.31',
          expires: this.#expires('timestamp'),
          snapshotMeta: metaFile(snapshot),
          unrecognizedFields: { [SIGNED_AT_FIELD]: new Date(this.#modules.clock.nowMs()).toISOString() },
        }),
      ),
    );
    await this.#write('timestamp.json', signed);
    this.#current = { targets, snapshot, timestamp: signed };
  }

  async #sign<T extends Root | Targets | Snapshot | Timestamp>(
    role: TufRole,
    metadata: Metadata<T>,
  ): Promise<Metadata<T>> {
    const key = await this.#modules.keys.privateKey(`tuf-${role}`);
    const { keyID } = publicTufKey(key);
    metadata.sign((data) => new Signature({ keyID, sig: sign(null, data, key).toString('hex') }));
    return metadata;
  }

  async #write(name: string, metadata: Metadata<Root | Targets | Snapshot | Timestamp>): Promise<void> {
    await this.#modules.files.writeAtomic('tuf.metadata', join(this.#folder, 'metadata', name), serialise(metadata));
  }

  #isDue(role: TufRole, expires: string): boolean {
    return !(Date.parse(expires) - this.#modules.clock.nowMs() >= this.#validityMs[role] / 2);
  }

  /** RFC 3339 without fractions, as the specification has it. */
  #expires(role: TufRole): string {
    return new Date(this.#modules.clock.nowMs() + this.#validityMs[role]).toISOString().replace(/\.\d+Z$/, 'Z');
  }

  #signed(): SignedSet {
    if (this.#current === undefined) throw new SecurityError('metadata-damaged', 'the update repository is not open');
    return this.#current;
  }

  #serialised<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#last.then(change);
    this.#last = result.catch(() => undefined); // the caller has the error; the next change starts regardless
    return result;
  }

  #arm(): void {
    this.#cancelTimer = this.#modules.clock.after(RENEWAL_CHECK_MS, () => {
      this.renew()
        .catch((cause: unknown) => this.#modules.log.error({ err: cause }, 'update metadata could not be written'))
        .finally(() => this.#arm());
    });
  }
}

function serialise(metadata: Metadata<Root | Targets | Snapshot | Timestamp>): string {
  return JSON.stringify(metadata.toJSON());
}

function metaFile(metadata: Metadata<Targets> | Metadata<Snapshot>): MetaFile {
  const bytes = Buffer.from(serialise(metadata));
  return new MetaFile({ version: metadata.signed.version, length: bytes.length, hashes: { sha256: sha256Hex(bytes) } });
}

function sha256Hex(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** The key as metadata name it; its id is the SHA-256 of its canonical JSON (specification 4.2). */
function publicTufKey(privateKey: KeyObject): Key {
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  const keyVal = { public: Buffer.from(String(x), 'base64url').toString('hex') };
  const canonical = JSON.stringify({ keytype: 'ed25519', keyval: keyVal, scheme: 'ed25519' });
  return new Key({ keyID: sha256Hex(Buffer.from(canonical)), keyType: 'ed25519', scheme: 'ed25519', keyVal });
}

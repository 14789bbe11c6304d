// Samples that wait for the hub, sealed, one file each, under the hex of their ids. What waits is known in memory; after a start
// it is read from the files themselves, so that there is nothing beside them that could disagree with them. Bounded in bytes:
// when full, the oldest of the random share makes room first, then the oldest of low confidence, and the random share never
// displaces low confidence. The disk's last bytes are left to others.
//
// Invariants: a file is whole or not there; what does not decrypt is removed and counted; nothing here rejects but `open`.
import { webcrypto } from 'node:crypto';
import { join } from 'node:path';
import { isDiskFull } from '@tidegate/shared/content/content-error.js';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { hexOf, type Digest } from '@tidegate/shared/wire/digest.js';
import { decodeSample, SampleError, type Sample } from '@tidegate/shared/wire/sample.js';
import type { CaptureCounts, DropReason } from './capture-counts.js';
import type { CaptureReason } from './choose-rows.js';
import { Seal, SEAL_BYTES } from './seal.js';

export interface WaitingSample {
  /** Digest of the body. */
  readonly id: Digest;
  readonly model: string;
  readonly reason: CaptureReason;
  /** What its file takes on a disk. */
  readonly sizeBytes: number;
}

interface FoundSample {
  readonly sample: WaitingSample;
  readonly capturedAtMs: number;
}

interface CaptureStoreOptions {
  readonly dataDir: string;
  readonly limitBytes: number;
}

interface CaptureStoreModules {
  readonly files: Files;
  readonly counts: CaptureCounts;
  readonly log: Log;
}

/** Left free for models and the agent's own state. */
export const RESERVE_BYTES = 16 * 1024 * 1024;
/** Bounds memory and folder where someone allows very many bytes. */
const LIMIT_COUNT = 100_000;
const BLOCK_BYTES = 4096;
/** In the order in which they make room. */
const REASONS: readonly CaptureReason[] = ['random-share', 'low-confidence'];
const FILE_NAME = /^[0-9a-f]{64}$/;
/** What a write that a power cut ended leaves behind (Files.writeAtomic). */
const TORN_NAME = /^[0-9a-f]{64}\..*\.tmp$/;

export class CaptureStore {
  readonly #folder: string;
  readonly #limitBytes: number;
  readonly #seal: Seal;
  readonly #m: CaptureStoreModules;
  /** Oldest first. */
  readonly #waiting: Readonly<Record<CaptureReason, Map<Digest, WaitingSample>>> = {
    'low-confidence': new Map(),
    'random-share': new Map(),
  };
  /** How many wait, by model. */
  readonly #models = new Map<string, number>();
  #storedBytes = 0;

  private constructor(options: CaptureStoreOptions, seal: Seal, modules: CaptureStoreModules) {
    this.#folder = folderOf(options.dataDir);
    this.#limitBytes = options.limitBytes;
    this.#seal = seal;
    this.#m = modules;
  }

  /** Reads what waits from `<dataDir>/captures`, file by file. Rejects when the key or the folder can't be read or made. */
  static async open(options: CaptureStoreOptions, modules: CaptureStoreModules): Promise<CaptureStore> {
    await modules.files.makeFolder('capture.folder', folderOf(options.dataDir));
    const seal = await Seal.open(join(options.dataDir, 'captures.key'), modules);
    const store = new CaptureStore(options, seal, modules);
    await store.#readAll();
    return store;
  }

  get storedBytes(): number {
    return this.#storedBytes;
  }

  get count(): number {
    return this.#waiting['low-confidence'].size + this.#waiting['random-share'].size;
  }

  models(): readonly string[] {
    return [...this.#models.keys()];
  }

  /** The next to be sent of these models: the oldest of low confidence, then of the others. */
  next(models: ReadonlySet<string>): WaitingSample | undefined {
    for (const sample of this.#all()) if (models.has(sample.model)) return sample;
    return undefined;
  }

  /** On disk when this resolves true. False: dropped and counted; a full disk or an I/O error is no more than that. */
  async add(body: Uint8Array, { model, reason }: Pick<WaitingSample, 'model' | 'reason'>): Promise<boolean> {
    const id = await idOf(body);
    if (this.#waiting[reason].has(id)) return true;
    const sample: WaitingSample = { id, model, reason, sizeBytes: onDisk(body.byteLength + SEAL_BYTES) };
    try {
      if (!(await this.#makeRoom(sample))) return this.#dropped('limit');
      const freeBytes = await this.#m.files.freeBytes('capture.free', this.#folder);
      if (freeBytes < RESERVE_BYTES + sample.sizeBytes) return this.#dropped('disk');
      await this.#m.files.writeAtomic('capture.write', this.#pathOf(id), await this.#seal.seal(id, body), 0o600);
    } catch (cause) {
      const error = (cause as Error).message;
      if (isDiskFull(cause)) this.#m.log.debug({ model, error }, 'no space for a sample');
      else this.#m.log.warn({ model, error }, 'a sample could not be stored');
      return this.#dropped('disk');
    }
    this.#note(sample);
    return true;
  }

  /**
   * The body. Undefined where the sample has gone meanwhile, can't be read now (it is found again at the next start) or does not
   * decrypt (it is removed and counted); it doesn't wait any more then.
   */
  async read(id: Digest): Promise<Uint8Array | undefined> {
    const body = await this.#unsealed(id);
    if (body === 'damaged') await this.remove(id);
    if (body instanceof Uint8Array) return body;
    this.#forget(id);
    return undefined;
  }

  /** A file that stays because its removal failed is found again at the next start. */
  async remove(id: Digest): Promise<void> {
    this.#forget(id);
    try {
      await this.#m.files.remove('capture.remove', this.#pathOf(id));
    } catch (cause) {
      this.#m.log.warn({ id, error: (cause as Error).message }, 'a captured sample could not be removed');
    }
  }

  /** Returns how many there were. */
  async removeModel(model: string): Promise<number> {
    const found = [...this.#all()].filter((sample) => sample.model === model);
    for (const { id } of found) await this.remove(id);
    return found.length;
  }

  *#all(): Generator<WaitingSample> {
    yield* this.#waiting['low-confidence'].values();
    yield* this.#waiting['random-share'].values();
  }

  async #makeRoom(incoming: WaitingSample): Promise<boolean> {
    const fits = (): boolean => this.#storedBytes + incoming.sizeBytes <= this.#limitBytes && this.count < LIMIT_COUNT;
    if (incoming.sizeBytes > this.#limitBytes) return false;
    while (!fits()) {
      const victim = this.#oldestFor(incoming.reason);
      if (victim === undefined) return false;
      await this.remove(victim.id);
      this.#m.counts.dropped('limit');
    }
    return true;
  }

  #oldestFor(reason: CaptureReason): WaitingSample | undefined {
    const yielding = reason === 'random-share' ? (['random-share'] as const) : REASONS;
    for (const one of yielding) {
      const oldest = this.#waiting[one].values().next();
      if (!oldest.done) return oldest.value;
    }
    return undefined;
  }

  #note(sample: WaitingSample): void {
    this.#waiting[sample.reason].set(sample.id, sample);
    this.#storedBytes += sample.sizeBytes;
    this.#models.set(sample.model, (this.#models.get(sample.model) ?? 0) + 1);
  }

  #forget(id: Digest): void {
    for (const reason of REASONS) {
      const sample = this.#waiting[reason].get(id);
      if (sample === undefined) continue;
      this.#waiting[reason].delete(id);
      this.#storedBytes -= sample.sizeBytes;
      const left = (this.#models.get(sample.model) ?? 0) - 1;
      if (left > 0) this.#models.set(sample.model, left);
      else this.#models.delete(sample.model);
    }
  }

  #dropped(why: DropReason): false {
    this.#m.counts.dropped(why);
    return false;
  }

  async #readAll(): Promise<void> {
    const found: FoundSample[] = [];
    for (const name of await this.#m.files.list('capture.list', this.#folder)) {
      if (TORN_NAME.test(name)) await this.#m.files.remove('capture.remove', join(this.#folder, name));
      if (!FILE_NAME.test(name)) continue;
      const sample = await this.#readOne(`sha256:${name}`);
      if (sample !== undefined) found.push(sample);
    }
    found.sort((a, b) => a.capturedAtMs - b.capturedAtMs);
    for (const { sample } of found) this.#note(sample);
    await this.#shrink();
  }

  async #readOne(id: Digest): Promise<FoundSample | undefined> {
    const body = await this.#unsealed(id);
    const decoded = body instanceof Uint8Array ? parsed(body) : undefined;
    if (!(body instanceof Uint8Array) || decoded === undefined) {
      if (body !== 'unreadable') await this.remove(id);
      return undefined;
    }
    const { model, reason, capturedAtMs } = decoded.facts;
    const sizeBytes = onDisk(body.byteLength + SEAL_BYTES);
    return {
      sample: { id, model, reason: reason === 'low-confidence' ? reason : 'random-share', sizeBytes },
      capturedAtMs,
    };
  }

  /** The limit may have become smaller since the last run. */
  async #shrink(): Promise<void> {
    while (this.#storedBytes > this.#limitBytes) {
      const victim = this.#oldestFor('low-confidence');
      if (victim === undefined) return;
      await this.remove(victim.id);
      this.#m.counts.dropped('limit');
    }
  }

  async #unsealed(id: Digest): Promise<Uint8Array | 'gone' | 'unreadable' | 'damaged'> {
    let file: Uint8Array;
    try {
      file = await this.#m.files.read('capture.read', this.#pathOf(id));
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return 'gone';
      this.#m.log.warn({ id, error: (cause as Error).message }, 'a captured sample can not be read now');
      return 'unreadable';
    }
    const body = await this.#seal.unseal(id, file);
    if (body !== undefined) return body;
    this.#m.log.warn({ id }, 'a captured sample does not decrypt and is dropped');
    this.#m.counts.dropped('damaged');
    return 'damaged';
  }

  #pathOf(id: Digest): string {
    return join(this.#folder, hexOf(id));
  }
}

/** As sampleId, but not on this thread. */
async function idOf(body: Uint8Array): Promise<Digest> {
  return `sha256:${Buffer.from(await webcrypto.subtle.digest('SHA-256', body)).toString('hex')}`;
}

function folderOf(dataDir: string): string {
  return join(dataDir, 'captures');
}

function onDisk(sizeBytes: number): number {
  return Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
}

function parsed(body: Uint8Array): Sample | undefined {
  try {
    return decodeSample(body);
  } catch (cause) {
    if (cause instanceof SampleError) return undefined; // sealed by another release: nobody could read it any more
    throw cause;
  }
}

// Answers on disk, so that they outlive a restart and a memory that is small. It never fails a request and never stops the
// agent: what is broken is counted, dropped, and begun anew. Reads are a lookup by key and a check of the row's digest;
// writes wait in a bounded queue and go out in batches, after the answers did.
//
// Age over restarts: the layer's clock is the wall clock of its opening, moved on by monotonic time, and never behind what
// the store has seen. Where the wall clock stands behind that, nobody knows how long the device was off: what is there is
// dropped. Of entries from before, the wall clock may say more (it was set meanwhile), never less.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { decodeAnswer, digestOf, encodeAnswer } from './answer-record.js';
import {
  isSelected,
  type CachedAnswer,
  type CacheEntry,
  type CacheHit,
  type CacheLabels,
  type CacheLayer,
  type CacheLayerCounts,
  type CacheSelection,
} from '@tidegate/shared/cache/cache-layer.js';
import { DiskAdmission } from './disk-admission.js';
import type { BeginAnew, DiskRow, DiskStore, OpenedDiskStore } from './disk-store.js';
import { RecentKeys } from '@tidegate/shared/cache/recent-keys.js';

const FLUSH_AFTER_MS = 1000;
/** Between two purges, each of some milliseconds. */
const PURGE_EVERY_MS = 20;
const LIMIT_QUEUE_ROWS = 1024;
const LIMIT_QUEUE_BYTES = 4 * 2 ** 20;
const LIMIT_BATCH_ROWS = 64;
const LIMIT_BATCH_BYTES = 256 * 2 ** 10;
/** Keys that are known to be written, and those used since the hand passed: lost at a restart, which costs little. */
const LIMIT_RECENT_KEYS = 8192;
/** So often a process begins the file anew; then the disk is not to be trusted. */
const LIMIT_REBUILDS = 3;

interface Modules {
  readonly open: (anew?: BeginAnew) => Promise<OpenedDiskStore>;
  readonly clock: Clock;
  readonly log: Log;
}

/** An answer as it is or will be in the store, whose digest is right. */
interface Kept {
  readonly labels: CacheLabels;
  readonly storedMs: number;
  readonly body: Uint8Array;
}

export class DiskLayer implements CacheLayer {
  readonly name = 'disk';
  readonly #limitBytes: number;
  readonly #modules: Modules;
  readonly #admission: DiskAdmission;
  readonly #written = new RecentKeys(LIMIT_RECENT_KEYS);
  readonly #used = new RecentKeys(LIMIT_RECENT_KEYS);
  readonly #queue = new Map<string, Kept>();
  #queueBytes = 0;
  #store: DiskStore | undefined;
  /** Wall time of the opening; rows from before are older than that. */
  #openedAtMs = 0;
  #openedMonotonicMs = 0;
  #rebuilds = 0;
  #reopening: Promise<void> | undefined;
  #cancelFlush: (() => void) | undefined;
  #cancelPurge: (() => void) | undefined;
  #closed = false;
  /** Something was to be dropped while the file was not open: all goes, rather than too little. */
  #dropWhenOpen = false;
  /** The last trouble, so that a disk that stays full is logged once. */
  #trouble: string | undefined;
  #counts = { hits: 0, misses: 0, stale: 0, stores: 0, evictions: 0, broken: 0, dropped: 0 };

  constructor(options: { readonly limitBytes: number }, modules: Modules) {
    this.#limitBytes = options.limitBytes;
    this.#modules = modules;
    this.#admission = new DiskAdmission({ ...options, nowMs: modules.clock.monotonicMs() });
  }

  /** Until then, and where it fails, the layer has nothing and keeps nothing. Never rejects. */
  async open(anew?: BeginAnew): Promise<void> {
    const { clock, log } = this.#modules;
    try {
      const { store, brokenBecause } = await this.#modules.open(anew);
      if (brokenBecause !== undefined)
        log.warn({ reason: brokenBecause }, 'disk cache is broken: set aside, begun anew');
      const wallMs = clock.nowMs();
      if (wallMs < store.clockMs) {
        log.warn(
          { behindMs: store.clockMs - wallMs },
          'the clock went back: the disk cache is of unknown age, and dropped',
        );
        store.drop({});
      } else if (this.#dropWhenOpen) store.drop({});
      this.#dropWhenOpen = false;
      this.#openedAtMs = wallMs;
      this.#openedMonotonicMs = clock.monotonicMs();
      if (this.#closed) store.close();
      else {
        this.#store = store;
        this.#schedulePurge(); // what was dropped before the process ended
      }
    } catch (error) {
      this.#counts.broken += 1;
      log.warn({ error: String(error) }, 'disk cache is off');
    }
  }

  get(key: string, maxAgeMs: number): CacheHit | undefined {
    const found = this.#find(key);
    if (found === undefined) {
      this.#counts.misses += 1;
      return undefined;
    }
    if (found.ageMs > maxAgeMs) {
      this.#counts.stale += 1;
      return undefined;
    }
    this.#counts.hits += 1;
    this.#used.add(key);
    return found;
  }

  put(key: string, entry: CacheEntry): void {
    if (!this.#admission.computed(key, entry.computeUs) && !this.#written.has(key)) return;
    this.#enqueue(key, entry.answer, entry.labels, entry.ageMs);
  }

  wanted(key: string, hit: CacheHit): void {
    if (this.#written.has(key)) this.#used.add(key);
    else this.#enqueue(key, hit.answer, hit.labels, hit.ageMs);
  }

  drop(selection: CacheSelection): number {
    let dropped = 0;
    for (const [key, { labels, body }] of this.#queue) {
      if (!isSelected(labels, selection)) continue;
      this.#queue.delete(key);
      this.#queueBytes -= body.byteLength;
      dropped += 1;
    }
    this.#written.clear();
    const store = this.#store;
    if (store === undefined) this.#dropWhenOpen = true;
    const gone = this.#try((open) => open.drop(selection), 'drop');
    this.#schedulePurge();
    // What can't be deleted must not be answered: the whole file goes.
    if (gone === undefined && store !== undefined && this.#store === store)
      this.#reopen(store, 'discard', 'drop failed');
    return dropped + (gone ?? 0);
  }

  models(): ReadonlyMap<string, { readonly entries: number; readonly sizeBytes: number }> {
    return this.#try((store) => store.models(), 'count') ?? new Map();
  }

  get counts(): CacheLayerCounts {
    const { entries = 0, sizeBytes = 0 } = this.#store ?? {};
    return { ...this.#counts, entries, sizeBytes, limitBytes: this.#limitBytes };
  }

  /** Writes what waits, and closes the file. */
  async close(): Promise<void> {
    this.#cancelFlush?.();
    this.#cancelPurge?.();
    await this.#reopening;
    while (this.#queue.size > 0 && this.#store !== undefined) {
      this.#writeBatch();
      await nextTurn();
    }
    this.#closed = true;
    this.#store?.close();
    this.#store = undefined;
  }

  /** By the layer's own clock. */
  #nowMs(): number {
    return this.#openedAtMs + this.#modules.clock.monotonicMs() - this.#openedMonotonicMs;
  }

  #find(key: string): CacheHit | undefined {
    const kept = this.#queue.get(key) ?? this.#read(key);
    if (kept === undefined) return undefined;
    const { labels, storedMs, body } = kept;
    const answer = decodeAnswer(body);
    if (answer === undefined) return undefined;
    const ageMs = Math.max(
      this.#nowMs() - storedMs,
      storedMs < this.#openedAtMs ? this.#modules.clock.nowMs() - storedMs : 0,
    );
    return { answer, labels, ageMs };
  }

  #read(key: string): Kept | undefined {
    const bytes = bytesOfKey(key);
    const row = this.#try((store) => store.get(bytes), 'read');
    if (row === undefined) return undefined;
    const labels = { model: row.model, tags: row.tags };
    if (digestOf(key, labels, row.storedMs, row.body).equals(row.digest)) {
      this.#written.add(key);
      return { labels, storedMs: row.storedMs, body: row.body };
    }
    this.#counts.broken += 1;
    this.#modules.log.warn({ model: row.model }, 'an answer in the disk cache is not what was written: dropped');
    this.#written.delete(key);
    this.#try((store) => store.remove(bytes), 'remove');
    return undefined;
  }

  #enqueue(key: string, answer: CachedAnswer, labels: CacheLabels, ageMs: number): void {
    if (this.#store === undefined || this.#closed) return;
    const body = encodeAnswer(answer);
    if (body === undefined || body.byteLength > this.#store.rowBytesMax) return;
    const before = this.#queue.get(key)?.body.byteLength ?? 0;
    const full = this.#queue.size >= LIMIT_QUEUE_ROWS || this.#queueBytes + body.byteLength > LIMIT_QUEUE_BYTES;
    if (full || !this.#admission.mayWrite(body.byteLength, this.#modules.clock.monotonicMs())) {
      this.#counts.dropped += 1;
      return;
    }
    this.#queue.set(key, { labels, storedMs: Math.floor(this.#nowMs() - ageMs), body });
    this.#queueBytes += body.byteLength - before;
    this.#written.add(key);
    this.#cancelFlush ??= this.#modules.clock.after(FLUSH_AFTER_MS, () => this.#flush());
  }

  /** One batch a turn of the event loop, so that requests come between. */
  #flush(): void {
    this.#cancelFlush = undefined;
    this.#writeBatch();
    if (this.#queue.size > 0 && this.#store !== undefined) {
      this.#cancelFlush = this.#modules.clock.after(1, () => this.#flush());
    }
  }

  #schedulePurge(): void {
    this.#cancelPurge ??= this.#modules.clock.after(PURGE_EVERY_MS, () => {
      this.#cancelPurge = undefined;
      if (this.#try((store) => store.purge(), 'purge') === true) this.#schedulePurge();
    });
  }

  #writeBatch(): void {
    const rows: DiskRow[] = [];
    const limitBytes = Math.min(LIMIT_BATCH_BYTES, this.#store?.rowBytesMax ?? 0);
    let sizeBytes = 0;
    for (const [key, { labels, storedMs, body }] of this.#queue) {
      if (rows.length >= LIMIT_BATCH_ROWS || (rows.length > 0 && sizeBytes + body.byteLength > limitBytes)) break;
      sizeBytes += body.byteLength;
      this.#queue.delete(key);
      rows.push({ key: bytesOfKey(key), ...labels, storedMs, digest: digestOf(key, labels, storedMs, body), body });
    }
    this.#queueBytes -= sizeBytes;
    const evicted = this.#try((store) => store.write(rows, (key) => this.#takeUsed(key), this.#nowMs()), 'write');
    if (evicted === undefined) this.#counts.dropped += rows.length;
    else {
      this.#counts.stores += rows.length;
      this.#counts.evictions += evicted;
    }
  }

  /** Evicted or passed: either way its bit is gone, and the next hit in memory writes or marks it again. */
  #takeUsed(key: Uint8Array): boolean {
    const text = Buffer.from(key).toString('base64url');
    const used = this.#used.delete(text);
    if (!used) this.#written.delete(text);
    return used;
  }

  /** Undefined where there is no store or it failed; a broken file is begun anew, a full disk is only counted. */
  #try<T>(act: (store: DiskStore) => T, what: string): T | undefined {
    const store = this.#store;
    if (store === undefined) return undefined;
    try {
      const result = act(store);
      if (what === 'write') this.#trouble = undefined;
      return result;
    } catch (error) {
      this.#counts.broken += 1;
      const trouble = `${what}: ${String(error)}`;
      if (trouble !== this.#trouble) this.#modules.log.warn({ error: trouble }, 'disk cache failed');
      this.#trouble = trouble;
      if (store.isBrokenBy(error)) this.#reopen(store, 'set-aside', trouble);
      return undefined;
    }
  }

  #reopen(store: DiskStore, how: BeginAnew['how'], reason: string): void {
    this.#store = undefined;
    this.#written.clear();
    store.close();
    this.#rebuilds += 1;
    if (this.#rebuilds > LIMIT_REBUILDS) return; // off for the rest of this process
    this.#reopening = this.open({ how, reason });
  }
}

function bytesOfKey(key: string): Uint8Array {
  return Buffer.from(key, 'base64url');
}

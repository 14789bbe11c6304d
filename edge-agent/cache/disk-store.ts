// What the disk layer needs of a store of rows (edge-agent/state/answer-store.ts). Calls are synchronous and throw where the
// disk or the file is at fault; the layer decides what becomes of that.
import type { CacheSelection } from '@tidegate/shared/cache/cache-layer.js';

export interface DiskRow {
  readonly key: Uint8Array;
  readonly model: string;
  readonly tags: readonly string[];
  /** By the layer's own clock, which never goes back over restarts. */
  readonly storedMs: number;
  readonly digest: Uint8Array;
  readonly body: Uint8Array;
}

export interface DiskStore {
  /** Larger bodies don't fit. */
  readonly rowBytesMax: number;
  /** The latest time that a write carried; 0 for a new store. */
  readonly clockMs: number;
  readonly entries: number;
  readonly sizeBytes: number;
  get(key: Uint8Array): DiskRow | undefined;
  remove(key: Uint8Array): void;
  /** All or none. Evicts what was not used since its last turn; `wasUsed` also clears. Returns how many were evicted. */
  write(rows: readonly DiskRow[], wasUsed: (key: Uint8Array) => boolean, clockMs: number): number;
  /** From here on nothing of it is given, whatever happens to the device. Returns how many rows went. */
  drop(selection: CacheSelection): number;
  /** Overwrites a little of what was dropped. Returns whether more is left to do. */
  purge(): boolean;
  models(): Map<string, { entries: number; sizeBytes: number }>;
  /** Is the file itself to blame for what a call threw, so that a new one helps? */
  isBrokenBy(error: unknown): boolean;
  close(): void;
}

/** What becomes of the file that is there: `set-aside` keeps it for support, `discard` removes it. */
export interface BeginAnew {
  readonly reason: string;
  readonly how: 'set-aside' | 'discard';
}

export interface OpenedDiskStore {
  readonly store: DiskStore;
  /** Why the file before was set aside; undefined where it was sound or there was none. */
  readonly brokenBecause: string | undefined;
}

// Freezing: the chosen samples' bodies become shards, shards and items become the manifest, and all of it lies in the content store.
// The samples may then be relabelled or removed: the dataset stays what it was. The same choice gives the same shards, the same
// manifest and the same digest.
//
// Invariants: no body is taken that isn't what its id says; memory holds at most one shard; what a failed freeze wrote is removed.
import { createHash } from 'node:crypto';
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import { ContentError } from '@tidegate/shared/content/content-error.js';
import type { DatasetItem, DatasetManifest } from '@tidegate/shared/wire/data-api.js';
import { sha256, type Digest } from '@tidegate/shared/wire/digest.js';
import { DataError, isNoSpace } from './data-error.js';
import type { ChosenItem } from './dataset-choice.js';
import { canonicalDataset } from './dataset-manifest.js';

/** Begins each shard, so that a shard of one sample is not the sample's own blob, which goes when the sample is deleted. */
const SHARD_MARK = Buffer.from('TGSH');
/** A shard ends before the sample with which it would pass this. */
const SHARD_BYTES = 32 * 1024 * 1024;

interface FrozenDataset {
  /** Of the manifest. */
  readonly digest: Digest;
  readonly manifestBytes: number;
  /** Of all shards. */
  readonly sizeBytes: number;
  /** What wasn't in the store before. */
  readonly added: readonly Digest[];
}

interface FreezeRequest {
  readonly model: string;
  readonly heldOut: number;
  /** At least one, sorted by id. */
  readonly items: readonly ChosenItem[];
}

/**
 * Rejects with DataError that names a sample whose body is damaged (`invalid`) or was deleted meanwhile (`conflict`), with `no-space`, or
 * with the signal's reason; nothing new is then in the store.
 */
export async function freezeDataset(
  { model, heldOut, items }: FreezeRequest,
  { content, shardBytes = SHARD_BYTES }: { readonly content: ContentStore; readonly shardBytes?: number },
  signal: AbortSignal,
): Promise<FrozenDataset> {
  const added: Digest[] = [];
  const put = async (chunks: readonly Uint8Array[], digest: Digest, sizeBytes: number): Promise<void> => {
    if (await content.has(digest)) return;
    await content.put(chunks, { digest, sizeBytes }, signal);
    added.push(digest);
  };
  try {
    const shards: DatasetManifest['shards'] = [];
    const placed: DatasetItem[] = [];
    for (const group of groups(items, shardBytes)) {
      const { chunks, digest, sizeBytes } = await readShard(group, content, signal);
      let offsetBytes = SHARD_MARK.byteLength;
      for (const item of group) {
        placed.push({ ...item, shard: shards.length, offsetBytes });
        offsetBytes += item.sizeBytes;
      }
      shards.push({ digest, sizeBytes });
      await put(chunks, digest, sizeBytes);
    }
    const manifest = Buffer.from(canonicalDataset({ kind: 'dataset', model, heldOut, shards, items: placed }));
    const digest = sha256(manifest);
    await put([manifest], digest, manifest.byteLength);
    const sizeBytes = shards.reduce((sum, shard) => sum + shard.sizeBytes, 0);
    return { digest, manifestBytes: manifest.byteLength, sizeBytes, added };
  } catch (cause) {
    for (const one of added) await content.remove(one);
    if (!isNoSpace(cause)) throw cause;
    throw new DataError('no-space', "the hub's disk is full; the dataset was not made", { cause });
  }
}

function* groups(items: readonly ChosenItem[], shardBytes: number): Generator<ChosenItem[], void, void> {
  let group: ChosenItem[] = [];
  let groupBytes = 0;
  for (const item of items) {
    if (group.length > 0 && groupBytes + item.sizeBytes > shardBytes) {
      yield group;
      group = [];
      groupBytes = 0;
    }
    group.push(item);
    groupBytes += item.sizeBytes;
  }
  if (group.length > 0) yield group;
}

interface Shard {
  readonly chunks: readonly Uint8Array[];
  readonly digest: Digest;
  readonly sizeBytes: number;
}

async function readShard(group: readonly ChosenItem[], content: ContentStore, signal: AbortSignal): Promise<Shard> {
  const hash = createHash('sha256').update(SHARD_MARK);
  const chunks: Uint8Array[] = [SHARD_MARK];
  let sizeBytes = SHARD_MARK.byteLength;
  for (const { id, sizeBytes: expectedBytes } of group) {
    signal.throwIfAborted();
    const body = await bodyOf(id, content);
    if (body.byteLength !== expectedBytes || sha256(body) !== id) throw lost(id, 'is damaged', 'invalid');
    hash.update(body);
    chunks.push(body);
    sizeBytes += body.byteLength;
  }
  return { chunks, digest: `sha256:${hash.digest('hex')}`, sizeBytes };
}

async function bodyOf(id: Digest, content: ContentStore): Promise<Uint8Array> {
  try {
    return await content.read(id);
  } catch (cause) {
    if (cause instanceof ContentError && cause.code === 'not-found')
      throw lost(id, 'is not there any more', 'conflict', cause);
    throw cause;
  }
}

function lost(id: Digest, reason: string, code: 'invalid' | 'conflict', cause?: unknown): DataError {
  return new DataError(code, `the body of sample ${id} ${reason}`, { cause, field: 'from' });
}

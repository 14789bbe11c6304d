// The items of one or several datasets as one list, from their manifests in the content store. A sample that stands in several is one
// item; inputs that any of the datasets holds out are held out, whoever captured them and under whichever label they come.
import type { DatasetManifest, Split } from '@tidegate/shared/wire/data-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { DataError } from './data-error.js';
import { readManifest, type ManifestModules } from './dataset-manifest.js';
import type { ShardPlace } from './shard-files.js';

export interface ListedItem {
  readonly id: Digest;
  readonly label: string;
  readonly split: Split;
  readonly shard: ShardPlace;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/**
 * In the manifests' order, of each manifest by id. `holdingOut`: datasets whose items are not listed, but whose held-out inputs are held
 * out here too. Rejects with DataError `not-found` or `invalid`.
 */
export async function readManifests(
  digests: readonly Digest[],
  modules: ManifestModules,
  holdingOut: readonly Digest[] = [],
): Promise<ListedItem[]> {
  const manifests: DatasetManifest[] = [];
  for (const digest of digests) manifests.push(await readManifest(digest, modules));
  const others: DatasetManifest[] = [];
  for (const digest of holdingOut) others.push(await readManifest(digest, modules));
  const heldOut = new Set(
    [...manifests, ...others].flatMap(({ items }) =>
      items.flatMap(({ split, inputsDigest }) => (split === 'held-out' ? [inputsDigest] : [])),
    ),
  );
  const found = new Map<Digest, ListedItem>();
  for (const manifest of manifests) {
    for (const { id, label, inputsDigest, shard: at, offsetBytes, sizeBytes } of manifest.items) {
      const shard = manifest.shards[at];
      if (shard === undefined || offsetBytes + sizeBytes > shard.sizeBytes) {
        throw new DataError('invalid', `the dataset's manifest places ${id} where no shard is`, { field: 'items' });
      }
      const split = heldOut.has(inputsDigest) ? 'held-out' : 'train';
      found.set(id, { id, label, split, shard, offsetBytes, sizeBytes });
    }
  }
  return [...found.values()];
}

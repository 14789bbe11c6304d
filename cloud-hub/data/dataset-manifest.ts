// A dataset version's manifest as a file: canonical JSON, whose SHA-256 is the version's digest. Equal samples, labels and split give
// equal bytes, so the same dataset is the same digest on every hub.
import type { Files } from '@tidegate/shared/system/files.js';
import { datasetManifestSchema, type DatasetManifest } from '@tidegate/shared/wire/data-api.js';
import { sha256, type Digest } from '@tidegate/shared/wire/digest.js';
import { DataError } from './data-error.js';
import { byId } from './dataset-choice.js';

export interface ManifestModules {
  readonly files: Files;
  /** Where a blob of the content store lies. */
  readonly pathOf: (digest: Digest) => string;
}

/** Keys sorted, items sorted by id (code units), shards in their order, no white space. */
export function canonicalDataset({ kind, model, heldOut, shards, items }: DatasetManifest): string {
  return JSON.stringify({
    heldOut,
    items: items.toSorted(byId).map(({ id, inputsDigest, label, offsetBytes, shard, sizeBytes, split }) => {
      return { id, inputsDigest, label, offsetBytes, shard, sizeBytes, split };
    }),
    kind,
    model,
    shards: shards.map(({ digest, sizeBytes }) => ({ digest, sizeBytes })),
  });
}

/** Rejects with DataError `not-found`, or `invalid` where the file is not what its digest says or is no manifest. */
export async function readManifest(digest: Digest, { files, pathOf }: ManifestModules): Promise<DatasetManifest> {
  const path = pathOf(digest);
  if ((await files.sizeBytes('dataset.stat', path)) === undefined) {
    throw new DataError('not-found', `no dataset manifest ${digest} is in the store`, { field: 'dataset' });
  }
  const bytes = await files.read('dataset.manifest', path);
  if (sha256(bytes) !== digest) {
    throw new DataError('invalid', `the dataset manifest ${digest} is not what its digest says`, { field: 'dataset' });
  }
  try {
    return datasetManifestSchema.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch (cause) {
    throw new DataError('invalid', `${digest} is no dataset manifest`, { cause, field: 'dataset' });
  }
}

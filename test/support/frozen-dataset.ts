// Datasets as the hub freezes them, of samples that a test makes: in a real content store, without database and hub.
import { chooseItems } from '@tidegate/cloud-hub/data/dataset-choice.js';
import { freezeDataset } from '@tidegate/cloud-hub/data/dataset-freeze.js';
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import type { Split } from '@tidegate/shared/wire/data-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { decodeSample, inputsDigest } from '@tidegate/shared/wire/sample.js';

export interface LabelledBody {
  readonly body: Uint8Array;
  readonly label: string;
  /** Instead of the side that its inputs' digest gives it. */
  readonly split?: Split;
}

/** Returns the manifest's digest. */
export async function freezeBodies(
  content: ContentStore,
  bodies: readonly LabelledBody[],
  { heldOut = 0, shardBytes }: { readonly heldOut?: number; readonly shardBytes?: number } = {},
): Promise<Digest> {
  const splits = new Map<Digest, Split>();
  const candidates = [];
  for (const { body, label, split } of bodies) {
    const id = await content.putBytes(body);
    if (split !== undefined) splits.set(id, split);
    const inputs = inputsDigest(decodeSample(body).inputs);
    candidates.push({ id, inputsDigest: inputs, label, sizeBytes: body.byteLength, receivedAtMs: 0 });
  }
  const { items } = chooseItems(candidates, heldOut);
  const { digest } = await freezeDataset(
    { model: 'digits', heldOut, items: items.map((item) => ({ ...item, split: splits.get(item.id) ?? item.split })) },
    { content, ...(shardBytes === undefined ? {} : { shardBytes }) },
    new AbortController().signal,
  );
  return digest;
}

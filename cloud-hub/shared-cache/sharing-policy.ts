// May answers of this variant be shared? Its version's privacy policy says so. Devices decide by the same policy before they send
// anything; the hub does not rely on that.
import type { SharedOffer } from '@tidegate/shared/wire/shared-answer.js';
import { readPrivacy } from '../registry/version-privacy.js';
import type { Database } from '../storage/database.js';

/** Undefined where they may; otherwise why not, beginning with the field. */
export async function refuseToShare(
  db: Database,
  { model, version, variant }: SharedOffer,
): Promise<string | undefined> {
  const known = await db
    .selectFrom('versions')
    .innerJoin('variants', (join) =>
      join.onRef('variants.model', '=', 'versions.model').onRef('variants.version', '=', 'versions.version'),
    )
    .select(['versions.version', 'versions.privacy'])
    .where('versions.model', '=', model)
    .where('versions.digest', '=', version)
    .where('variants.digest', '=', variant)
    .executeTakeFirst();
  if (known === undefined) return `variant: the hub has no such variant of ${model}`;
  if (readPrivacy(known.privacy).answers === 'hub') return undefined;
  return `model: the privacy policy of ${model}@${known.version} shares no answers`;
}

// The list of an import, held against the hub's samples. The list alone is what is frozen, so an import is what its folder holds,
// whatever was imported before it under any name.
//
// An import is a person's word on each of its samples, and the latest word holds: its labels become the samples' own, also of those that
// were labelled otherwise or rejected before.
import type { Transaction } from 'kysely';
import { splitOf, type importDatasetSchema, type Split } from '@tidegate/shared/wire/data-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { z } from 'zod';
import type { Database, Tables } from '../storage/database.js';
import { DataError } from './data-error.js';
import { byId, type ChosenItem } from './dataset-choice.js';

/** Ids in one statement: SQLite binds at most 32,766 values, other databases fewer. */
const IDS_AT_ONCE = 500;

type ImportItem = z.infer<typeof importDatasetSchema>['items'][number];

interface HeldSample {
  readonly id: Digest;
  readonly model: string;
  readonly inputsDigest: Digest;
  readonly sizeBytes: number;
  readonly label: string | null;
  readonly state: string;
}

/** Which of these the hub has not. */
export async function missingSamples(db: Database, ids: readonly Digest[]): Promise<Digest[]> {
  const held = new Set<Digest>();
  for (const some of inParts(ids)) {
    const rows = await db.selectFrom('samples').select('id').where('id', 'in', some).execute();
    for (const { id } of rows) held.add(id);
  }
  return ids.filter((id) => !held.has(id));
}

/** By id. Rejects with DataError `not-found` for a sample that the hub has not, `invalid` for one of another model. */
export async function readImported(
  db: Database,
  model: string,
  items: readonly ImportItem[],
): Promise<ReadonlyMap<Digest, HeldSample>> {
  const held = new Map<Digest, HeldSample>();
  for (const some of inParts(items.map(({ id }) => id))) {
    const rows = await db
      .selectFrom('samples')
      .select(['id', 'model', 'inputs_digest as inputsDigest', 'size_bytes as sizeBytes', 'label', 'state'])
      .where('id', 'in', some)
      .execute();
    for (const row of rows) held.set(row.id, row);
  }
  for (const { id } of items) {
    const sample = held.get(id);
    if (sample === undefined) throw new DataError('not-found', `the hub has no sample ${id}`, { field: 'items' });
    if (sample.model !== model) {
      throw new DataError('invalid', `sample ${id} is of the model ${sample.model}`, { field: 'items' });
    }
  }
  return held;
}

/**
 * What the list says, sorted by id; a sample that it names twice is one. Equal inputs stand on one side: held out where any of them is.
 * Throws DataError `invalid` for equal inputs under different labels.
 */
export function chooseImported(
  items: readonly ImportItem[],
  held: ReadonlyMap<Digest, Pick<HeldSample, 'inputsDigest' | 'sizeBytes'>>,
  heldOut: number,
): ChosenItem[] {
  const first = new Map<Digest, ImportItem>();
  const splits = new Map<Digest, Split>();
  const chosen = new Map<Digest, Omit<ChosenItem, 'split'>>();
  for (const item of items) {
    const { id, label } = item;
    const sample = held.get(id);
    if (sample === undefined) throw new DataError('not-found', `the hub has no sample ${id}`, { field: 'items' });
    const { inputsDigest, sizeBytes } = sample;
    const like = first.get(inputsDigest) ?? item;
    if (like.label !== label) {
      const message = `${like.id} and ${id} are equal, but labelled '${like.label}' and '${label}'`;
      throw new DataError('invalid', message, { field: 'items' });
    }
    first.set(inputsDigest, like);
    const split = item.split ?? splitOf(inputsDigest, heldOut);
    if (split === 'held-out' || !splits.has(inputsDigest)) splits.set(inputsDigest, split);
    chosen.set(id, { id, inputsDigest, label, sizeBytes });
  }
  return [...chosen.values()].map((one) => ({ ...one, split: splits.get(one.inputsDigest) ?? 'train' })).sort(byId);
}

/** Gives the samples the list's labels; returns those that had another or none. */
export async function labelImported(
  trx: Transaction<Tables>,
  items: readonly ImportItem[],
  held: ReadonlyMap<Digest, Pick<HeldSample, 'label' | 'state'>>,
): Promise<Digest[]> {
  const byLabel = new Map<string, Digest[]>();
  for (const { id, label } of new Map(items.map((item) => [item.id, item])).values()) {
    const sample = held.get(id);
    if (sample?.label === label && sample.state === 'labelled') continue;
    const ids = byLabel.get(label) ?? [];
    ids.push(id);
    byLabel.set(label, ids);
  }
  const changed: Digest[] = [];
  for (const [label, ids] of byLabel) {
    for (const some of inParts(ids)) {
      await trx
        .updateTable('samples')
        .set({ label, label_source: 'import', state: 'labelled' })
        .where('id', 'in', some)
        .execute();
      changed.push(...some);
    }
  }
  return changed;
}

function* inParts(ids: readonly Digest[]): Generator<Digest[], void, void> {
  for (let at = 0; at < ids.length; at += IDS_AT_ONCE) yield ids.slice(at, at + IDS_AT_ONCE);
}

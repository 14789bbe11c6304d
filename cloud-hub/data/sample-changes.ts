// How a sample's row changes: in one transaction with its audit row, told of afterwards. What a change does is a pure function of the
// row, so that a repeated one is seen to change nothing: then nothing is written.
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { SampleView } from '@tidegate/shared/wire/data-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { Updateable } from 'kysely';
import type { HubEvents } from '../hub-events.js';
import type { RecordAudit } from '../security/audit.js';
import type { Database } from '../storage/database.js';
import type { SampleTable } from '../storage/tables/data.js';
import { DataError } from './data-error.js';
import { sampleRow, showSample, type SampleRow } from './sample-rows.js';

export interface SampleChangesModules {
  readonly db: Database;
  readonly events: HubEvents;
  readonly audit: RecordAudit;
  readonly clock: Clock;
}

type Judgement = Pick<SampleTable, 'state' | 'label' | 'label_source'>;
type Proposal = Pick<SampleTable, 'proposed_label' | 'proposed_confidence' | 'proposed_version'>;

export interface SampleChange {
  /** `label`, `reject` ...: the audit row's action behind `sample.`. */
  readonly action: string;
  /** Throws DataError `conflict` where it can't be done. */
  readonly of: (row: SampleRow) => Judgement | Proposal;
}

export function labelAs(label: string): SampleChange {
  return { action: 'label', of: () => ({ state: 'labelled', label, label_source: 'person' }) };
}

/** Keeps the label, so that reopening gives it back. */
export const REJECT: SampleChange = {
  action: 'reject',
  of: ({ label, label_source }) => ({ state: 'rejected', label, label_source }),
};

/** Takes the last decision back: a rejected sample has its label again, if it had one; a labelled one has none. */
export const REOPEN: SampleChange = {
  action: 'reopen',
  of: ({ state, label, label_source }) =>
    state === 'rejected' && label !== null
      ? { state: 'labelled', label, label_source }
      : { state: 'new', label: null, label_source: null },
};

export const ACCEPT: SampleChange = {
  action: 'accept',
  of: ({ id, proposed_label: label }) => {
    if (label === null) throw new DataError('conflict', `${id} has no proposal to accept; ask for one first`);
    return { state: 'labelled', label, label_source: 'hub-model' };
  },
};

export function proposeLabel(label: string, version: number, confidence: number | undefined): SampleChange {
  const proposal = { proposed_label: label, proposed_version: version, proposed_confidence: confidence ?? null };
  return { action: 'propose', of: () => proposal };
}

/** Rejects with DataError `not-found`, or as the change does. */
export async function changeSample(
  { db, events, audit, clock }: SampleChangesModules,
  id: Digest,
  actor: string,
  change: SampleChange,
): Promise<SampleView> {
  const { row, changed } = await db.transaction().execute(async (tx) => {
    const before = await requireRow(tx, id);
    const update: Updateable<SampleTable> = change.of(before);
    const different = Object.entries(update).filter(([key, value]) => before[key as keyof SampleRow] !== value);
    if (different.length === 0) return { row: before, changed: false };
    await tx.updateTable('samples').set(update).where('id', '=', id).execute();
    const detail = { model: before.model, ...Object.fromEntries(different), ...formerLabel(before, update) };
    await audit(tx, { actor, action: `sample.${change.action}`, subject: id, detail }, clock.nowMs());
    return { row: { ...before, ...update } as SampleRow, changed: true };
  });
  const sample = showSample(row);
  if (changed) events.emit({ kind: 'sample', sample });
  return sample;
}

export async function requireRow(db: Parameters<typeof sampleRow>[0], id: Digest): Promise<SampleRow> {
  const row = await sampleRow(db, id);
  if (row === undefined) throw new DataError('not-found', `no sample ${id}`, { field: 'id' });
  return row;
}

/** What a label replaces or takes away stays in the audit log. */
function formerLabel(before: SampleRow, update: Updateable<SampleTable>): { before?: string } {
  return before.label === null || update.label === undefined || update.label === before.label
    ? {}
    : { before: before.label };
}

// Rows of samples as the admin API shows them. A row knows its device by id; the name is the fleet's and is looked up when it is read.
import type { Selectable, SelectQueryBuilder, Transaction } from 'kysely';
import { sampleSchema, type SampleView } from '@tidegate/shared/wire/data-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { Database, Tables } from '../storage/database.js';
import type { SampleTable } from '../storage/tables/data.js';

/** A row, and the name of its device where the hub still knows it. */
export type SampleRow = Selectable<SampleTable> & { readonly device_name: string | null };

/** All samples with their devices' names; the caller narrows, orders and limits. */
export function selectSamples(db: Database | Transaction<Tables>): SelectQueryBuilder<Tables, 'samples', SampleRow> {
  return db
    .selectFrom('samples')
    .selectAll('samples')
    .select((eb) =>
      eb
        .selectFrom('devices')
        .select('devices.name')
        .whereRef('devices.id', '=', 'samples.device_id')
        .as('device_name'),
    );
}

export async function sampleRow(db: Database | Transaction<Tables>, id: Digest): Promise<SampleRow | undefined> {
  return selectSamples(db).where('samples.id', '=', id).executeTakeFirst();
}

export function showSample(row: SampleRow): SampleView {
  return {
    id: row.id,
    model: row.model,
    ...given('version', row.version),
    ...given('versionDigest', row.version_digest),
    ...given('variantDigest', row.variant_digest),
    ...given('device', row.device_id),
    ...given('deviceName', row.device_name),
    ...given('batch', row.batch),
    capturedAt: new Date(row.captured_at_ms).toISOString(),
    receivedAt: new Date(row.received_at_ms).toISOString(),
    ...given('confidence', row.confidence),
    reason: row.reason,
    inputsDigest: row.inputs_digest,
    inputs: sampleSchema.shape.inputs.parse(JSON.parse(row.inputs)),
    sizeBytes: row.size_bytes,
    ...given('answer', row.answer),
    state: row.state,
    ...given('label', row.label),
    ...given('labelSource', row.label_source),
    ...proposalOf(row),
  };
}

function proposalOf(row: SampleRow): Pick<SampleView, 'proposal'> {
  if (row.proposed_label === null || row.proposed_version === null) return {};
  const { proposed_label: label, proposed_version: version, proposed_confidence: confidence } = row;
  return { proposal: { label, version, ...given('confidence', confidence) } };
}

/** The field, unless the database has none. */
function given<K extends string, V>(key: K, value: V | null): { [key in K]?: V } {
  return value === null ? {} : ({ [key]: value } as { [key in K]?: V });
}

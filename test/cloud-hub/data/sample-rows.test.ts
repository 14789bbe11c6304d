import { sampleRow, showSample, type SampleRow } from '@tidegate/cloud-hub/data/sample-rows.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { sampleSchema } from '@tidegate/shared/wire/data-api.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { expect, test } from 'vitest';

const row: SampleRow = {
  id: sha256('body'),
  model: 'digits',
  version: 1,
  version_digest: sha256('v'),
  variant_digest: sha256('f'),
  variant: 'fp32',
  device_id: 'd1',
  device_name: null,
  batch: null,
  captured_at_ms: 0,
  received_at_ms: 1000,
  confidence: 0,
  reason: 'low-confidence',
  inputs_digest: sha256('i'),
  inputs: '[{"name":"image","datatype":"FP32","shape":[1,1,28,28]}]',
  size_bytes: 10,
  answer: '7',
  state: 'new',
  label: null,
  label_source: null,
  proposed_label: null,
  proposed_confidence: null,
  proposed_version: null,
};

test('a row is shown as the wire has it, without what is not known', () => {
  const shown = showSample(row);
  expect(sampleSchema.parse(shown)).toEqual(shown);
  expect(shown).toMatchObject({ confidence: 0, capturedAt: '1970-01-01T00:00:00.000Z', state: 'new' });
  for (const key of ['deviceName', 'batch', 'label', 'labelSource', 'proposal']) expect(shown).not.toHaveProperty(key);
});

test('a proposal is shown with its version, and with its confidence where there is one', () => {
  const proposed = { ...row, proposed_label: '9', proposed_version: 2 };
  expect(showSample(proposed).proposal).toEqual({ label: '9', version: 2 });
  expect(showSample({ ...proposed, proposed_confidence: 0.5 }).proposal).toMatchObject({ confidence: 0.5 });
});

test('a row that does not exist is none', async () => {
  const db = await openSqlite(':memory:');
  expect(await sampleRow(db, sha256('nobody'))).toBeUndefined();
  await db.destroy();
});

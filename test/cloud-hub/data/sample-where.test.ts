// Queries against real rows: each operator, what is missing, and that nothing of a value reaches the statement.
import { parseSampleQuery } from '@tidegate/cloud-hub/data/sample-query.js';
import { whereSamples } from '@tidegate/cloud-hub/data/sample-where.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import type { SampleTable } from '@tidegate/cloud-hub/storage/tables/data.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

let db: Database;

const DAY_MS = 86_400_000;
const TODAY_MS = Date.parse('2026-11-26T00:00:00Z');

function row(id: string, facts: Partial<SampleTable>): SampleTable {
  return {
    id: `sha256:${id}`,
    model: 'digits',
    version: 1,
    version_digest: null,
    variant_digest: sha256('fp32'),
    variant: 'fp32',
    device_id: 'd1',
    batch: null,
    captured_at_ms: TODAY_MS,
    received_at_ms: TODAY_MS,
    confidence: 0.5,
    reason: 'low-confidence',
    inputs_digest: sha256(id),
    inputs: '[]',
    size_bytes: 1,
    answer: '7',
    state: 'new',
    label: null,
    label_source: null,
    proposed_label: null,
    proposed_confidence: null,
    proposed_version: null,
    ...facts,
  };
}

beforeEach(async () => {
  db = await openSqlite(':memory:');
  const device = (id: string, name: string, group: string) => ({
    ...{ id, name, group_name: group, certificate_serial: id, public_key_fingerprint: id, enrolled_at: 'now' },
    ...{ last_seen_at: null, connection_id: null, reported: null, desired: '{}' },
    ...{ online: 0, reported_seq: -1, desired_version: 0, revoked: 0 },
  });
  await db
    .insertInto('devices')
    .values([device('d1', 'cam-1', 'shelf'), device('d2', 'cam-2', 'door')])
    .execute();
  await db
    .insertInto('samples')
    .values([
      row('a', { confidence: 0.2, label: '10%', state: 'labelled', label_source: 'person' }),
      row('b', {
        device_id: 'd2',
        version: 2,
        captured_at_ms: TODAY_MS - DAY_MS,
        label: 'Zero_one',
        state: 'labelled',
      }),
      row('c', { device_id: null, version: null, variant: null, confidence: null, batch: 'old set', reason: 'import' }),
      row('d', { device_id: 'gone', confidence: 0.9, captured_at_ms: TODAY_MS + DAY_MS - 1, reason: 'random-share' }),
    ])
    .execute();
});
afterEach(() => db.destroy());

async function found(text: string): Promise<string> {
  const query = parseSampleQuery(text, 'where', TODAY_MS);
  const rows = await db.selectFrom('samples').select('id').where(whereSamples(query)).orderBy('id').execute();
  return rows.map(({ id }) => id.slice('sha256:'.length)).join('');
}

describe('a query', () => {
  test.each([
    ['model=digits', 'abcd'],
    ['id=sha256:a', 'a'],
    ['id=b', 'b'],
    ['id=sha*:c', 'c'],
    ['id=sha*', 'abcd'],
    ['id=b*', 'b'],
    ['id=sha256:b*', 'b'],
    ['id=*', 'abcd'],
    ['id!=a', 'bcd'],
    ['id!=a*', 'bcd'],
    ['id!=*', ''],
    ['model=Digits', ''],
    ['confidence<0.5', 'a'],
    ['confidence<=0.5', 'ab'],
    ['confidence>0.5', 'd'],
    ['confidence>=0.5', 'bd'],
    ['confidence=0.5', 'b'],
    ['confidence!=0.5', 'acd'],
    ['version!=1', 'bc'],
    ['version>=1', 'abd'],
    ['variant=fp32', 'abd'],
    [`variant=${sha256('fp32')}`, 'abcd'],
    ['variant!=fp32', 'c'],
    ['device=cam-1', 'a'],
    ['device=d2', 'b'],
    ['device=gone', 'd'],
    ['device!=cam-1', 'bcd'],
    ['group=shelf', 'a'],
    ['group!=shelf', 'bcd'],
    ['group=*', 'ab'],
    ['batch="old set"', 'c'],
    ['batch!=*', 'abd'],
    ['reason=*-*', 'abd'],
    ['state!=new', 'ab'],
    ['label=*', 'ab'],
    ['label!=*', 'cd'],
    ['label=10*', 'a'],
    ['label="10%"', 'a'],
    ['label="1%"', ''],
    ['label="%*"', ''],
    ['label=*%', 'a'],
    ['label=Zero_*', 'b'],
    ['label=Z_*', ''],
    ['label=zero*', ''],
    ['label=*er*one', 'b'],
    ['captured=2026-11-26', 'acd'],
    ['captured>2026-11-25', 'acd'],
    ['captured<=2026-11-25', 'b'],
    ['captured>1d', 'acd'],
    ['captured>=1d', 'abcd'],
    ['(device=cam-1 or device=cam-2) and confidence<0.5', 'a'],
    ['device=cam-1 or device=cam-2 and confidence<0.5', 'a'],
    ['device=cam-2 or device=cam-1 and confidence<0.1', 'b'],
  ])('%s finds %s', async (text, expected) => {
    expect(await found(text)).toBe(expected);
  });

  test.each([
    `label="' or '1'='1"`,
    `label="x') or 1=1 --"`,
    `label="'; drop table samples; --"`,
    String.raw`label="\\' or 1=1 --*"`,
    `model="digits' union select * from tokens --"`,
    `device="' or ''='"`,
    `group="*' or 1=1 --"`,
  ])('%s is a value and nothing else', async (text) => {
    expect(await found(text)).toBe('');
    const compiled = db
      .selectFrom('samples')
      .select('id')
      .where(whereSamples(parseSampleQuery(text, 'where', TODAY_MS)))
      .compile();
    expect(compiled.sql).not.toMatch(/or 1|drop|union|''/);
    expect(await found('model=digits')).toBe('abcd');
  });
});

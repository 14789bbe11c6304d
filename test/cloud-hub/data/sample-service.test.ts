// Samples found, judged and deleted, over a real database and content store.
import { SampleIntake } from '@tidegate/cloud-hub/data/sample-intake.js';
import { SampleService } from '@tidegate/cloud-hub/data/sample-service.js';
import { proposeLabel, changeSample } from '@tidegate/cloud-hub/data/sample-changes.js';
import { DataError } from '@tidegate/cloud-hub/data/data-error.js';
import { freezeDataset } from '@tidegate/cloud-hub/data/dataset-freeze.js';
import { HubEvents } from '@tidegate/cloud-hub/hub-events.js';
import { listAudit, recordAudit } from '@tidegate/cloud-hub/security/audit.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import type { LiveEvent } from '@tidegate/shared/wire/admin-api.js';
import type { SampleView } from '@tidegate/shared/wire/data-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { sampleId } from '@tidegate/shared/wire/sample.js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { addDigits, digitSample } from '../../support/captured-samples.js';
import { digitInput } from '../../support/digit-inputs.js';
import { failingFiles } from '../../support/failing-files.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('sample-service');
const files = failingFiles();
const never = new AbortController().signal;
let db: Database;
let content: ContentStore;
let clock: ManualClock;
let heard: LiveEvent[];
let intake: SampleIntake;
let samples: SampleService;
let check: (model: string, label: string) => Promise<void>;
let changes: Parameters<typeof changeSample>[0];

beforeEach(async () => {
  db = await openSqlite(':memory:');
  content = await ContentStore.open({ folder: folder() }, files);
  clock = new ManualClock();
  const events = new HubEvents(silentLog);
  heard = [];
  events.on((event) => heard.push(event));
  intake = new SampleIntake({ db, content, events, clock });
  changes = { db, events, clock, audit: recordAudit };
  check = async (_model: string, label: string): Promise<void> => {
    if (label === 'x') throw new DataError('invalid', 'label: none of the classes', { field: 'label' });
  };
  samples = new SampleService({ ...changes, content, intake, classes: { check } });
  await addDigits(db, content);
});
afterEach(() => db.destroy());

async function take(seed: number): Promise<Digest> {
  return (await intake.take(digitSample(seed), { device: 'd1' })).id;
}
const audited = async () => (await listAudit(db, { limit: 100 })).reverse();

describe('the list', () => {
  test('is newest first, and pages lose and repeat nothing while samples arrive', async () => {
    const there = new Set<string>();
    for (let seed = 0; seed < 25; seed += 1) {
      there.add(await take(seed));
      if (seed % 4 === 0) clock.advance(1); // four at a time arrive in the same millisecond
    }
    const seen: SampleView[] = [];
    let cursor: string | undefined;
    let arriving = 100;
    do {
      const page = await samples.list({ limit: 4, cursor });
      seen.push(...page.items);
      cursor = page.nextCursor;
      await take(arriving++); // partly in the same millisecond as the newest that were there
      if (arriving % 2 === 0) clock.advance(1);
    } while (cursor !== undefined);
    const ids = seen.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect([...there].filter((id) => !ids.includes(id as Digest))).toEqual([]);
    const times = seen.map(({ receivedAt }) => receivedAt);
    expect(times).toEqual(times.toSorted().reverse());
  });

  test('a page that is just full is the last one', async () => {
    for (let seed = 0; seed < 3; seed += 1) await take(seed);
    expect(await samples.list({ limit: 3 })).toEqual({
      items: [expect.anything(), expect.anything(), expect.anything()],
    });
    expect((await samples.list({ limit: 2 })).nextCursor).toMatch(/^\d+\.[0-9a-f]{64}$/);
    expect(await samples.list({ limit: 2, where: 'model=other' })).toEqual({ items: [] });
  });

  test('is narrowed by conditions; summaries count the same', async () => {
    const [first, second] = [await take(1), await take(2)];
    await take(3);
    await samples.label(first, '1', 'token:t');
    await samples.label(second, '1', 'token:t');
    await samples.reject(second, 'token:t');
    const ids = async (where: string) => (await samples.list({ where, limit: 10 })).items.map(({ id }) => id);
    expect(await ids('state=labelled and label=1')).toEqual([first]);
    expect(await ids('state=rejected')).toEqual([second]);
    expect(await samples.summary(undefined)).toEqual({
      count: 3,
      more: false,
      states: { new: 1, labelled: 1, rejected: 1 },
      reasons: { 'low-confidence': 3 },
      models: { digits: 3 },
      labels: { '1': 2 },
      answers: { '1': 1, '2': 1, '3': 1 },
    });
    expect(await samples.summary('label=1 and state=labelled')).toMatchObject({ count: 1, answers: { '1': 1 } });
    expect(await samples.summary('model=other')).toMatchObject({ count: 0, states: {} });
    const short = new SampleService({ ...changes, content, intake, classes: { check }, limits: { counted: 2 } });
    expect(await short.summary(undefined)).toMatchObject({ count: 2, more: true });
  });

  test.each([
    [{ where: 'colour=red' }, 'where'],
    [{ cursor: 'x' }, 'cursor'],
    [{ cursor: `1.${'A'.repeat(64)}` }, 'cursor'],
    [{ cursor: `1' or 1=1.${'a'.repeat(64)}` }, 'cursor'],
  ])('of %j is refused by its field', async (query, field) => {
    await expect(samples.list({ limit: 10, ...query })).rejects.toMatchObject({ code: 'invalid', field });
  });
});

describe('a sample', () => {
  test('gives its inputs back as they came, and a picture of them', async () => {
    const id = await take(5);
    const [sent] = digitInput(5);
    const image = await samples.input(id, 'image');
    expect([image.datatype, image.shape]).toEqual(['FP32', [1, 1, 28, 28]]);
    expect(Buffer.compare(image.data, sent?.data ?? Buffer.alloc(0))).toBe(0);
    expect((await samples.picture(id)).type).toBe('image/png');
    await expect(samples.input(id, 'sound')).rejects.toMatchObject({
      code: 'not-found',
      field: 'name',
      message: expect.stringContaining('it has image'),
    });
  });

  test('whose body is gone says so', async () => {
    const id = await take(5);
    await content.remove(id);
    await expect(samples.picture(id)).rejects.toMatchObject({ code: 'not-found', field: 'id' });
  });

  test('that isn’t there is not found, whatever is asked', async () => {
    const id = sampleId(digitSample(9));
    for (const ask of [
      () => samples.get(id),
      () => samples.picture(id),
      () => samples.label(id, '1', 'a'),
      () => samples.reject(id, 'a'),
      () => samples.reopen(id, 'a'),
      () => samples.accept(id, 'a'),
      () => samples.delete(id, 'a'),
    ]) {
      await expect(ask()).rejects.toMatchObject({ code: 'not-found', field: 'id' });
    }
    expect(await audited()).toEqual([]);
  });
});

describe('judging', () => {
  test('is audited with who and what, told live, and a repetition changes nothing', async () => {
    const id = await take(1);
    heard.length = 0;
    expect(await samples.label(id, '7', 'token:ann')).toMatchObject({
      state: 'labelled',
      label: '7',
      labelSource: 'person',
    });
    await samples.label(id, '7', 'token:bob');
    await samples.label(id, '1', 'token:bob');
    await samples.reject(id, 'token:ann');
    await samples.reject(id, 'token:ann');
    const row = { subject: id, detail: { model: 'digits' } };
    expect(await audited()).toMatchObject([
      { ...row, actor: 'token:ann', action: 'sample.label', detail: { label: '7', state: 'labelled' } },
      { ...row, actor: 'token:bob', action: 'sample.label', detail: { label: '1', before: '7' } },
      { ...row, actor: 'token:ann', action: 'sample.reject', detail: { state: 'rejected' } },
    ]);
    expect(heard).toMatchObject([
      { kind: 'sample', sample: { id, label: '7' } },
      { kind: 'sample', sample: { id, label: '1' } },
      { kind: 'sample', sample: { id, state: 'rejected', label: '1' } },
    ]);
    expect(heard.at(-1)).toEqual({ kind: 'sample', sample: await samples.get(id) });
  });

  test('reopening takes the last decision back, one at a time', async () => {
    const id = await take(1);
    await samples.label(id, '7', 'a');
    await samples.reject(id, 'a');
    expect(await samples.reopen(id, 'a')).toMatchObject({ state: 'labelled', label: '7', labelSource: 'person' });
    const open = await samples.reopen(id, 'a');
    expect([open.state, open.label, open.labelSource]).toEqual(['new', undefined, undefined]);
    await samples.reject(id, 'a');
    expect((await samples.reopen(id, 'a')).state).toBe('new');
  });

  test('accepts a proposal, and only where there is one', async () => {
    const id = await take(1);
    await expect(samples.accept(id, 'a')).rejects.toMatchObject({ code: 'conflict' });
    await changeSample(changes, id, 'a', proposeLabel('3', 1, 0.75));
    expect(await samples.get(id)).toMatchObject({
      state: 'new',
      proposal: { label: '3', version: 1, confidence: 0.75 },
    });
    expect(await samples.accept(id, 'a')).toMatchObject({ state: 'labelled', label: '3', labelSource: 'hub-model' });
    expect(await samples.label(id, '3', 'b')).toMatchObject({ labelSource: 'person' }); // now a person has said it
  });

  test('a label that is no class changes nothing', async () => {
    const id = await take(1);
    await expect(samples.label(id, 'x', 'a')).rejects.toMatchObject({ code: 'invalid', field: 'label' });
    expect([(await samples.get(id)).state, await audited()]).toEqual(['new', []]);
  });

  test('by two at once leaves one of their labels, and both in the audit log', async () => {
    const id = await take(1);
    await Promise.all([samples.label(id, '1', 'ann'), samples.label(id, '2', 'bob'), samples.reject(id, 'cid')]);
    const rows = await audited();
    expect(rows.map(({ actor }) => actor).sort()).toEqual(['ann', 'bob', 'cid']);
    const { state = 'labelled' } = (rows.at(-1)?.detail ?? {}) as { state?: string }; // unstated: it was so before
    const label = rows.findLast(({ action }) => action === 'sample.label')?.detail['label'];
    expect(await samples.get(id)).toMatchObject({ state, label });
  });

  test('is not done where the audit row can’t be written', async () => {
    const id = await take(1);
    heard.length = 0;
    const audit = async (): Promise<never> => Promise.reject(new Error('the disk is full'));
    await expect(changeSample({ ...changes, audit }, id, 'a', proposeLabel('3', 1, 1))).rejects.toThrow('disk is full');
    expect([(await samples.get(id)).proposal, heard]).toEqual([undefined, []]);
  });
});

describe('deleting', () => {
  test('takes row and body, and leaves an audit row', async () => {
    const id = await take(1);
    const other = await take(2);
    await samples.label(id, '7', 'a');
    heard.length = 0;
    await samples.delete(id, 'token:ann');
    expect(heard).toEqual([{ kind: 'sample-deleted', id }]);
    expect([await content.has(id), await content.has(other)]).toEqual([false, true]);
    expect((await samples.list({ limit: 10 })).items.map((one) => one.id)).toEqual([other]);
    expect((await audited()).at(-1)).toMatchObject({
      actor: 'token:ann',
      action: 'sample.delete',
      subject: id,
      detail: { model: 'digits', device: 'd1', label: '7', state: 'labelled' },
    });
    expect((await intake.take(digitSample(1), { device: 'd1' })).added).toBe(true); // it may come again
  });

  test('leaves datasets their copy, even of this sample alone', async () => {
    const id = await take(1);
    const { inputsDigest, sizeBytes } = await samples.get(id);
    const items = [{ id, inputsDigest: inputsDigest as Digest, label: '1', split: 'train' as const, sizeBytes }];
    const { added } = await freezeDataset({ model: 'digits', heldOut: 0, items }, { content }, never);
    await samples.delete(id, 'a');
    expect(await content.has(id)).toBe(false);
    for (const digest of added) expect(await content.has(digest)).toBe(true);
  });

  test('keeps a body that is a file of a package too', async () => {
    const id = await take(1);
    await db
      .updateTable('versions')
      .set({ manifest: JSON.stringify({ files: [{ path: 'a', digest: id }] }) })
      .execute();
    await samples.delete(id, 'a');
    expect([await content.has(id), (await samples.list({ limit: 1 })).items]).toEqual([true, []]);
  });

  test('while the same sample comes again leaves both its row and its body, or neither', async () => {
    for (let round = 0; round < 20; round += 1) {
      const id = await take(round);
      const again = Array.from({ length: 3 }, () => take(round));
      const outcomes = await Promise.allSettled([samples.delete(id, 'a'), ...again, samples.delete(id, 'b')]);
      expect(outcomes.slice(1, 4).every(({ status }) => status === 'fulfilled')).toBe(true);
      const rows = (await samples.list({ limit: 10 })).items.map((one) => one.id);
      for (const there of rows) expect(await content.has(there)).toBe(true);
      expect(rows.includes(id)).toBe(await content.has(id));
    }
  });
});

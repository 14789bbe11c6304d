// Datasets over a real database and store: what a query freezes, when a version is new, what is refused and that nothing stays of it.
import { DatasetService } from '@tidegate/cloud-hub/data/dataset-service.js';
import { SampleIntake } from '@tidegate/cloud-hub/data/sample-intake.js';
import { HubEvents } from '@tidegate/cloud-hub/hub-events.js';
import { listAudit, recordAudit } from '@tidegate/cloud-hub/security/audit.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import type { LiveEvent } from '@tidegate/shared/wire/admin-api.js';
import { splitOf } from '@tidegate/shared/wire/data-api.js';
import { sha256, type Digest } from '@tidegate/shared/wire/digest.js';
import { encodeSample, inputsDigest } from '@tidegate/shared/wire/sample.js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { addDigits, digitSample } from '../../support/captured-samples.js';
import { digitInput } from '../../support/digit-inputs.js';
import { failingFiles, type FailingFiles } from '../../support/failing-files.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('dataset-service');
const ACTOR = 'token:ci';
let db: Database;
let content: ContentStore;
let files: FailingFiles;
let clock: ManualClock;
let heard: LiveEvent[];
let told: string[];
let intake: SampleIntake;
let modules: ConstructorParameters<typeof DatasetService>[0];
let datasets: DatasetService;

beforeEach(async () => {
  db = await openSqlite(':memory:');
  files = failingFiles();
  content = await ContentStore.open({ folder: folder() }, files);
  clock = new ManualClock();
  heard = [];
  const events = new HubEvents(silentLog);
  await addDigits(db, content);
  intake = new SampleIntake({ db, content, events, clock });
  modules = { db, content, files, events, clock, audit: recordAudit, rowsAtOnce: 7 };
  datasets = new DatasetService(modules);
  events.on((event) => event.kind === 'dataset' && heard.push(event));
  told = [];
  events.on((event) => event.kind === 'sample' && told.push(`${event.sample.id} ${event.sample.label}`));
});
afterEach(async () => {
  await datasets.close();
  await db.destroy();
});

async function add(seed: number, label?: string, facts = {}): Promise<Digest> {
  clock.advance(1);
  const { id } = await intake.take(digitSample(seed, facts), { device: 'd1' });
  if (label !== undefined) await relabel(id, label);
  return id;
}
const relabel = (id: Digest, label: string) =>
  db.updateTable('samples').set({ state: 'labelled', label, label_source: 'person' }).where('id', '=', id).execute();
const create = (from: string, more: { name?: string; heldOut?: number; model?: string } = {}) =>
  datasets.create({ name: 'hard', heldOut: 0.2, from, ...more }, ACTOR);
const itemsOf = (version: string) => datasets.items('hard', version, { limit: 500 });
const rows = () => db.selectFrom('dataset_versions').selectAll().execute();
const audited = async () => (await listAudit(db, { limit: 50 })).map(({ action, subject }) => `${action} ${subject}`);
const imported = (seed: number, model = 'digits') =>
  encodeSample({ facts: { model, capturedAtMs: 0, reason: 'import' }, inputs: digitInput(seed), outputs: [] });

describe('create', () => {
  test('freezes the labelled samples of the query: split by their inputs, counted, told of and audited once', async () => {
    const ids = [];
    for (let seed = 0; seed < 20; seed += 1) ids.push(await add(seed, String(seed % 3)));
    await add(20);
    await add(21, '1', { reason: 'random-share' });
    const { version, added } = await create('reason=low-confidence', { heldOut: 0.4 });
    const split = (seed: number) => splitOf(inputsDigest(digitInput(seed)), 0.4);
    const heldOut = ids.filter((_, seed) => split(seed) === 'held-out').length;
    expect(added).toBe(true);
    expect(version).toMatchObject({
      ...{ name: 'hard', version: 1, model: 'digits', from: 'reason=low-confidence', heldOut: 0.4 },
      ...{ count: 20, unlabelled: 1, labels: { 0: 7, 1: 7, 2: 6 } },
      counts: { train: 20 - heldOut, 'held-out': heldOut },
    });
    expect(version).not.toHaveProperty('contradicted');
    const items = await itemsOf('1');
    expect(items.map(({ id }) => id)).toEqual(ids.toSorted());
    for (const { id, split: side, label } of items) {
      const seed = ids.indexOf(id);
      expect([side, label]).toEqual([split(seed), String(seed % 3)]);
    }
    expect(heard).toEqual([{ kind: 'dataset', dataset: version }]);
    expect(await audited()).toEqual(['dataset.create dataset:hard@1']);
  });

  test('of the same samples, labels and split is the newest version again; anything else is a new one', async () => {
    const ids = [await add(1, '1'), await add(2, '2')];
    const { version } = await create('model=digits');
    const again = await create('model=digits and state=labelled');
    expect(again).toEqual({ version, added: false });
    await add(3); // without a label
    expect((await create('model=digits')).added).toBe(false);
    await relabel(ids[0]!, '7');
    const second = await create('model=digits');
    expect(second).toMatchObject({ added: true, version: { version: 2, unlabelled: 1 } });
    expect((await create('model=digits', { heldOut: 0.9 })).version.version).toBe(3);
    await relabel(ids[0]!, '1');
    const fourth = await create('model=digits');
    expect([fourth.version.version, fourth.version.digest]).toEqual([4, version.digest]); // as the first one was
    expect(await datasets.diff('hard', '1', '2')).toMatchObject({
      ...{ from: 'hard@1', to: 'hard@2', added: [], removed: [] },
      relabelled: [{ id: ids[0], before: '1', after: '7' }],
    });
    expect((await rows()).length).toBe(4);
    expect(heard.length).toBe(4);
  });

  test('stays what it was when its samples are relabelled or go', async () => {
    const id = await add(1, '1');
    await create('model=digits');
    await relabel(id, '2');
    await db.deleteFrom('samples').execute();
    await content.remove(id);
    expect(await itemsOf('latest')).toMatchObject([{ id, label: '1' }]);
    const { data, sizeBytes } = await datasets.shard('hard', '1', 0);
    const chunks: Buffer[] = [];
    for await (const chunk of data) chunks.push(chunk as Buffer);
    const [item] = await itemsOf('1');
    const shard = Buffer.concat(chunks);
    expect(shard.byteLength).toBe(sizeBytes);
    expect(sha256(shard.subarray(item!.offsetBytes, item!.offsetBytes + item!.sizeBytes))).toBe(id);
    expect(sha256(await datasets.manifestBytes('hard', '1'))).toBe((await datasets.get('hard', '1')).digest);
  });

  test('leaves out what was rejected, and what a later sample of equal inputs contradicts', async () => {
    const [old, rejected] = [await add(1, '1'), await add(2, '2')];
    const late = await add(1, '4', { capturedAtMs: 99 });
    await db.updateTable('samples').set({ state: 'rejected' }).where('id', '=', rejected).execute();
    const { version } = await create('model=digits');
    expect(version).toMatchObject({ count: 1, unlabelled: 0, contradicted: 1 });
    expect(await itemsOf('1')).toMatchObject([{ id: late, label: '4' }]);
    expect(await datasets.get('hard', '1')).toEqual(version);
    await relabel(old, '4');
    expect((await create('model=digits')).version).toMatchObject({ version: 2, count: 2 });
  });

  test.each([
    ['model=digits', 'the query picks 2 samples, but all 2 are unlabelled; label some first'],
    ['model=letters', 'no sample is picked by this query'],
    ['model~digits', 'from, at '],
    ['model=digits and', 'from, at 17'],
  ])('of %s says why it can’t be', async (from, message) => {
    await add(1);
    await add(2);
    await expect(create(from)).rejects.toMatchObject({
      code: 'invalid',
      field: 'from',
      message: expect.stringContaining(message) as string,
    });
    expect([await rows(), await audited()]).toEqual([[], []]);
  });

  test('of samples of several models asks which, and a name is of one model', async () => {
    await add(1, '1');
    await intake.take(imported(2, 'letters'), { batch: 'b', label: 'a' });
    await expect(create('state=labelled')).rejects.toThrow('picks samples of several models (digits, letters)');
    const { version } = await create('state=labelled', { model: 'letters' });
    expect(version).toMatchObject({ model: 'letters', count: 1, from: 'model=letters and state=labelled' });
    await expect(create('model=digits')).rejects.toMatchObject({ code: 'conflict', field: 'name' });
  });

  test('an age in the query is the moment that it meant', async () => {
    clock.setWall(Date.UTC(2026, 0, 8));
    await add(1, '1', { capturedAtMs: Date.UTC(2026, 0, 7) });
    await add(2, '1', { capturedAtMs: Date.UTC(2025, 0, 7) });
    const { version } = await create('captured>7d');
    expect(version.count).toBe(1);
    expect(version.from).toMatch(/^captured>=2026-01-01T00:00:00/);
  });

  test('over a limit says which, and keeps nothing', async () => {
    for (const seed of [1, 2, 3]) await add(seed, '1');
    const held = (await content.list()).length;
    const limited = (limits: { items?: number; versions?: number; bytes?: number }) =>
      new DatasetService({ ...modules, limits: { items: 10, versions: 10, bytes: 1e9, ...limits } }).create(
        { name: 'hard', heldOut: 0, from: 'model=digits' },
        ACTOR,
      );
    await expect(limited({ items: 2 })).rejects.toMatchObject({ code: 'invalid', field: 'from' });
    await expect(limited({ versions: 0 })).rejects.toMatchObject({ code: 'full' });
    await expect(limited({ bytes: 5000 })).rejects.toMatchObject({ code: 'full' });
    expect([(await content.list()).length, await rows()]).toEqual([held, []]);
    expect((await limited({ items: 3, versions: 1 })).added).toBe(true);
  });

  test('on a full disk, or where the row can’t be written, keeps nothing, and later it works', async () => {
    await add(1, '1');
    const held = (await content.list()).length;
    files.failNext('content.commit', 'ENOSPC');
    await expect(create('model=digits')).rejects.toMatchObject({ code: 'no-space' });
    const broken = new DatasetService({ ...modules, audit: () => Promise.reject(new Error('no audit')) });
    await expect(broken.create({ name: 'hard', heldOut: 0.2, from: 'model=digits' }, ACTOR)).rejects.toThrow(
      'no audit',
    );
    expect([(await content.list()).length, await rows(), heard]).toEqual([held, [], []]);
    expect((await create('model=digits')).version.version).toBe(1);
  });

  test('asked for twice at the same time is one version; too many at once are told to come again', async () => {
    await add(1, '1');
    const asked = Array.from({ length: 20 }, () => create('model=digits'));
    const outcomes = await Promise.allSettled(asked);
    const made = outcomes.flatMap((one) => (one.status === 'fulfilled' ? [one.value.added] : []));
    expect([made.filter(Boolean).length, made.length, (await rows()).length]).toEqual([1, 16, 1]);
    expect(outcomes.filter((one) => one.status === 'rejected')[0]).toMatchObject({ reason: { code: 'busy' } });
  });

  test('after the end of the hub is refused', async () => {
    await add(1, '1');
    await datasets.close();
    await expect(create('model=digits')).rejects.toMatchObject({ code: 'busy' });
  });
});

describe('lists', () => {
  test('show the newest version of each by name, a dataset’s versions newest first, its items by id', async () => {
    for (const seed of [1, 2, 3]) await add(seed, String(seed));
    await create('label=1', { name: 'b' });
    await create('label=1', { name: 'a' });
    await create('state=labelled', { name: 'b' });
    expect((await datasets.list({ limit: 9 })).map(({ name, version }) => `${name}@${version}`)).toEqual([
      'a@1',
      'b@2',
    ]);
    expect((await datasets.list({ limit: 9, afterName: 'a' })).map(({ name }) => name)).toEqual(['b']);
    expect((await datasets.versions({ name: 'b', limit: 9 })).map(({ version }) => version)).toEqual([2, 1]);
    expect(await datasets.versions({ name: 'b', limit: 9, beforeVersion: 2 })).toMatchObject([
      { version: 1, count: 1 },
    ]);
    const all = await datasets.items('b', '2', { limit: 9 });
    const paged = await datasets.items('b', '2', { limit: 1, afterId: all[0]!.id });
    expect(paged).toEqual([all[1]]);
    expect(await datasets.items('b', '2', { limit: 9, afterId: all[2]!.id })).toEqual([]);
  });

  test('of what there isn’t say so', async () => {
    await add(1, '1');
    await create('model=digits');
    const absent = (field: string) => expect.objectContaining({ code: 'not-found', field }) as unknown;
    await expect(datasets.get('hard', '2')).rejects.toEqual(absent('version'));
    await expect(datasets.get('hard', '1e0')).rejects.toEqual(absent('version'));
    await expect(datasets.versions({ name: 'none', limit: 9 })).rejects.toEqual(absent('name'));
    await expect(datasets.diff('hard', '1', '9')).rejects.toEqual(absent('version'));
    await expect(datasets.shard('hard', '1', 7)).rejects.toEqual(absent('shard'));
  });
});

describe('import', () => {
  const send = async (seed: number, label: string): Promise<Digest> =>
    (await intake.take(imported(seed), { batch: 'clean', label })).id;
  const freeze = (items: { id: Digest; label: string; split?: 'train' | 'held-out' }[], heldOut = 0) =>
    datasets.import('clean', { model: 'digits', heldOut, items }, ACTOR);

  test('freezes exactly the list, and again changes nothing', async () => {
    const [a, b] = [await send(1, '1'), await send(2, '2')];
    await send(3, '3'); // of the same name, but not in the list
    const made = await freeze([
      { id: b, label: '2' },
      { id: a, label: '1' },
      { id: a, label: '1' },
    ]);
    expect(made).toMatchObject({ added: true, version: { version: 1, count: 2, from: 'import clean', unlabelled: 0 } });
    expect(
      (
        await freeze([
          { id: a, label: '1' },
          { id: b, label: '2' },
        ])
      ).added,
    ).toBe(false);
    expect(await audited()).toEqual(['dataset.create dataset:clean@1']);
  });

  test('its labels become the samples’ own, whatever they were, and that is audited', async () => {
    const [a, b, c] = [await send(1, '1'), await send(2, '2'), await add(3)];
    await relabel(a, '9');
    await db.updateTable('samples').set({ state: 'rejected' }).where('id', '=', b).execute();
    told = [];
    await freeze([a, b, c].map((id, i) => ({ id, label: String(i + 1) })));
    expect(new Set(told)).toEqual(new Set([`${a} 1`, `${b} 2`, `${c} 3`]));
    const labels = await db.selectFrom('samples').select(['id', 'label', 'state', 'label_source']).execute();
    expect(new Set(labels)).toEqual(
      new Set([a, b, c].map((id, i) => ({ id, label: String(i + 1), state: 'labelled', label_source: 'import' }))),
    );
    await relabel(a, '9');
    expect((await freeze([a, b, c].map((id, i) => ({ id, label: String(i + 1) })))).added).toBe(false);
    expect(await audited()).toEqual(['dataset.relabel dataset:clean@1', 'dataset.create dataset:clean@1']);
    expect((await listAudit(db, { limit: 1 }))[0]?.detail).toEqual({ relabelled: 1 });
  });

  test('sides that are stated hold; equal inputs stand on one, held out where any is', async () => {
    const [a, b, captured] = [await send(1, '1'), await send(2, '2'), await add(1)];
    const { version } = await freeze([
      { id: a, label: '1', split: 'held-out' },
      { id: captured, label: '1', split: 'train' },
      { id: b, label: '2', split: 'train' },
    ]);
    expect(version.counts).toEqual({ train: 1, 'held-out': 2 });
    expect((await freeze([{ id: a, label: '1' }], 1)).version.counts).toEqual({ train: 0, 'held-out': 1 });
  });

  test('of what the hub lacks, of another model, or with equal inputs under two labels is refused', async () => {
    const [a, other, captured] = [await send(1, '1'), sha256('none'), await add(1)];
    const letters = (await intake.take(imported(2, 'letters'), { batch: 'b', label: 'a' })).id;
    await expect(freeze([{ id: other, label: '1' }])).rejects.toMatchObject({ code: 'not-found', field: 'items' });
    await expect(freeze([{ id: letters, label: '1' }])).rejects.toThrow('is of the model letters');
    const doubt = freeze([
      { id: a, label: '1' },
      { id: captured, label: '7' },
    ]);
    await expect(doubt).rejects.toThrow(`${a} and ${captured} are equal, but labelled '1' and '7'`);
    expect(await rows()).toEqual([]);
  });
});

// Samples come in once each, only where the policy allows, and only as many as the hub keeps.
import { SampleIntake } from '@tidegate/cloud-hub/data/sample-intake.js';
import { HubEvents } from '@tidegate/cloud-hub/hub-events.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import type { LiveEvent } from '@tidegate/shared/wire/admin-api.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { encodeSample, sampleId } from '@tidegate/shared/wire/sample.js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { addDigits, digitSample } from '../../support/captured-samples.js';
import { digitInput } from '../../support/digit-inputs.js';
import { failingFiles } from '../../support/failing-files.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('sample-intake');
const device = { device: 'd1' };
const files = failingFiles();
let db: Database;
let content: ContentStore;
let heard: LiveEvent[];
let modules: ConstructorParameters<typeof SampleIntake>[0];

beforeEach(async () => {
  db = await openSqlite(':memory:');
  content = await ContentStore.open({ folder: folder() }, files);
  const events = new HubEvents(silentLog);
  heard = [];
  events.on((event) => heard.push(event));
  modules = { db, content, events, clock: new ManualClock() };
});
afterEach(() => db.destroy());

const rows = () => db.selectFrom('samples').selectAll().execute();

describe('a sample from a device', () => {
  test('is kept with its lineage and told of once, however often it comes', async () => {
    await addDigits(db, content);
    const intake = new SampleIntake(modules);
    const body = digitSample(3);
    expect(await intake.take(body, device)).toEqual({ id: sampleId(body), added: true });
    expect(await intake.take(body, { device: 'd2' })).toEqual({ id: sampleId(body), added: false });
    expect(await rows()).toMatchObject([
      { model: 'digits', version: 1, variant: 'fp32', device_id: 'd1', answer: '3', confidence: 0.4, state: 'new' },
    ]);
    expect(Buffer.compare(await content.read(sampleId(body)), body)).toBe(0);
    expect(heard).toMatchObject([{ kind: 'sample', sample: { id: sampleId(body), device: 'd1', answer: '3' } }]);
  });

  test('that comes twice at the same time is one', async () => {
    await addDigits(db, content);
    const intake = new SampleIntake(modules);
    const taken = await Promise.all([1, 2, 3].map(() => intake.take(digitSample(1), device)));
    expect(taken.map(({ added }) => added)).toEqual([true, false, false]);
    expect([(await rows()).length, heard.length]).toEqual([1, 1]);
  });

  test('is refused where its version allows no capture, or is none of this hub', async () => {
    await addDigits(db, content, { fallback: 'hub', capture: 'none', telemetry: 'figures', answers: 'none' });
    const intake = new SampleIntake(modules);
    await expect(intake.take(digitSample(1), device)).rejects.toMatchObject({ code: 'forbidden' });
    for (const facts of [{ versionDigest: sha256('other') }, { model: 'other' }]) {
      await expect(intake.take(digitSample(1, facts), device)).rejects.toMatchObject({ code: 'forbidden' });
    }
    expect([await rows(), await content.list(), heard.length]).toEqual([[], [expect.any(String)], 0]); // model.yaml alone
  });

  test('is refused of a version that was published before capture existed', async () => {
    await addDigits(db, content);
    await db.updateTable('versions').set({ privacy: 'hub' }).execute();
    await expect(new SampleIntake(modules).take(digitSample(1), device)).rejects.toMatchObject({ code: 'forbidden' });
  });

  test('is refused with the field that is wrong', async () => {
    await addDigits(db, content);
    const intake = new SampleIntake(modules);
    const invalid = (field: string) => expect.objectContaining({ code: 'invalid', field });
    await expect(intake.take(digitSample(1).subarray(0, 900), device)).rejects.toEqual(invalid('image'));
    await expect(intake.take(digitSample(1, { reason: 'import' }), device)).rejects.toEqual(invalid('reason'));
    const inputs = digitInput(1);
    const anonymous = encodeSample({
      facts: { model: 'digits', capturedAtMs: 1, reason: 'random-share' },
      inputs,
      outputs: [],
    });
    await expect(intake.take(anonymous, device)).rejects.toEqual(invalid('versionDigest'));
    const foreign = digitSample(1, { variantDigest: sha256('other') });
    await expect(intake.take(foreign, device)).rejects.toMatchObject({ code: 'forbidden', field: 'variantDigest' });
  });

  test('is refused over the limits, and taken again when an operator made room', async () => {
    await addDigits(db, content);
    const body = digitSample(1);
    const intake = new SampleIntake({ ...modules, limits: { count: 1, bytes: 1e6 } });
    await intake.take(body, device);
    await expect(intake.take(digitSample(2), device)).rejects.toMatchObject({ code: 'full' });
    await db.deleteFrom('samples').execute();
    expect(await intake.take(digitSample(2), device)).toMatchObject({ added: true });
    const narrow = new SampleIntake({ ...modules, limits: { count: 10, bytes: body.byteLength } });
    await expect(narrow.take(digitSample(3), device)).rejects.toMatchObject({ code: 'full' });
  });

  test('is refused on a full disk, with nothing half kept', async () => {
    await addDigits(db, content);
    const intake = new SampleIntake(modules);
    files.failNext('content.commit', 'ENOSPC');
    await expect(intake.take(digitSample(1), device)).rejects.toMatchObject({ code: 'no-space' });
    expect(await rows()).toEqual([]);
    expect(await intake.take(digitSample(1), device)).toMatchObject({ added: true });
  });
});

describe('an imported sample', () => {
  const body = (facts = {}) =>
    encodeSample({
      facts: { model: 'letters', capturedAtMs: 1, reason: 'import', ...facts },
      inputs: digitInput(1),
      outputs: [],
    });

  test('needs no version, and comes with its label', async () => {
    const intake = new SampleIntake(modules);
    const { id } = await intake.take(body(), { batch: 'mnist', label: '7' });
    expect(heard).toMatchObject([
      { kind: 'sample', sample: { id, batch: 'mnist', state: 'labelled', label: '7', labelSource: 'import' } },
    ]);
    await intake.take(body({ capturedAtMs: 2 }), { batch: 'mnist' });
    expect((await rows()).map(({ state, label }) => [state, label]).sort()).toEqual([
      ['labelled', '7'],
      ['new', null],
    ]);
  });
});

describe('several samples at once', () => {
  const given = (...seeds: number[]) => seeds.map((seed) => ({ body: digitSample(seed), origin: device }));

  test('are kept once each, in whatever order and however many batches they come', async () => {
    await addDigits(db, content);
    const intake = new SampleIntake(modules);
    const [first, second] = await Promise.all([intake.takeAll(given(1, 2, 3, 2)), intake.takeAll(given(3, 4, 1))]);
    expect(first.map(({ id }) => id)).toEqual([1, 2, 3, 2].map((seed) => sampleId(digitSample(seed))));
    const added = new Set([...first, ...second].filter((one) => one.added).map(({ id }) => id));
    expect([added.size, (await rows()).length, heard.length]).toEqual([4, 4, 4]);
    expect((await intake.takeAll(given(1, 2))).map((one) => one.added)).toEqual([false, false]);
  });

  test('are kept all or none: one that is wrong, no room, a full disk', async () => {
    await addDigits(db, content);
    const held = (await content.list()).length;
    const intake = new SampleIntake({ ...modules, limits: { count: 2, bytes: 1e6 } });
    const foreign = { body: digitSample(9, { model: 'other' }), origin: device };
    await expect(intake.takeAll([...given(1), foreign])).rejects.toMatchObject({ code: 'forbidden' });
    await expect(intake.takeAll(given(1, 2, 3))).rejects.toMatchObject({ code: 'full' });
    files.failNext('content.commit', 'ENOSPC');
    await expect(intake.takeAll(given(1, 2))).rejects.toMatchObject({ code: 'no-space' });
    expect([await rows(), (await content.list()).length, heard.length]).toEqual([[], held, 0]);
    expect((await intake.takeAll(given(1, 2))).every((one) => one.added)).toBe(true);
  });

  test('that are refused take no file from the store that was there before them', async () => {
    await addDigits(db, content);
    const [first] = given(1);
    await content.putBytes(first!.body); // a package's file
    files.failNext('content.commit', 'ENOSPC');
    await expect(new SampleIntake(modules).takeAll(given(1, 2))).rejects.toMatchObject({ code: 'no-space' });
    expect(await content.has(sampleId(first!.body))).toBe(true);
  });
});

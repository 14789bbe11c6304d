// Resumable uploads over the real content store: pieces at offsets, breaks, restarts, limits, expiry.
import { Uploads, UPLOAD_LIMITS } from '@tidegate/cloud-hub/registry/uploads.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { hexOf, sha256 } from '@tidegate/shared/wire/digest.js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../support/manual-clock.js';
import { failingFiles } from '../../support/failing-files.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('uploads');
const bytes = (text: string): Buffer => Buffer.from(text);
const entry = (path: string, content: string) => ({
  path,
  sizeBytes: Buffer.byteLength(content),
  digest: sha256(content),
});
const hex = (content: string): string => hexOf(sha256(content));

let db: Database;
let clock: ManualClock;
let root: string;
let content: ContentStore;
let uploads: Uploads;

beforeEach(async () => {
  db = await openSqlite(':memory:');
  clock = new ManualClock();
  root = folder();
  content = await ContentStore.open({ folder: root }, systemFiles);
  uploads = new Uploads(db, content, clock);
});
afterEach(() => db.destroy());

const create = (...files: ReturnType<typeof entry>[]) =>
  uploads.create({ model: 'ocr', files, allowUnknownLicence: false }, 'token:ci');

async function* pieces(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield bytes(text);
}
async function* broken(text: string): AsyncGenerator<Uint8Array> {
  yield bytes(text);
  throw new Error('the line broke');
}

describe('an upload', () => {
  test('takes a file in pieces and has it whole under its digest', async () => {
    const { id } = await create(entry('a.bin', 'hello world'));
    expect(await uploads.receive(id, hex('hello world'), 0, pieces('hel', 'lo'))).toEqual({
      receivedBytes: 5,
      complete: false,
    });
    expect(await uploads.receive(id, hex('hello world'), 5, pieces(' world'))).toEqual({
      receivedBytes: 11,
      complete: true,
    });
    expect(bytes('hello world').equals(await content.read(sha256('hello world')))).toBe(true);
    expect((await uploads.show(id)).files).toEqual([
      { ...entry('a.bin', 'hello world'), receivedBytes: 11, complete: true },
    ]);
  });

  test('keeps what came when the line breaks, also over a restart of the hub (B7)', async () => {
    const { id } = await create(entry('a.bin', 'hello world'));
    await expect(uploads.receive(id, hex('hello world'), 0, broken('hello'))).rejects.toThrow('the line broke');
    const store = await ContentStore.open({ folder: root }, systemFiles);
    const restarted = new Uploads(db, store, clock);
    expect((await restarted.show(id)).files[0]).toMatchObject({ receivedBytes: 5, complete: false });
    expect(await restarted.receive(id, hex('hello world'), 5, pieces(' world'))).toMatchObject({ complete: true });
  });

  test('has files that the hub holds complete from the start, and takes them again without harm', async () => {
    await content.putBytes(bytes('known'));
    const upload = await create(entry('b', 'known'), entry('a', 'new'));
    expect(upload.files.map((file) => [file.path, file.complete])).toEqual([
      ['a', false],
      ['b', true],
    ]);
    expect(await uploads.receive(upload.id, hex('known'), 0, pieces('known'))).toEqual({
      receivedBytes: 5,
      complete: true,
    });
  });

  test('takes an empty file', async () => {
    const { id } = await create(entry('empty', ''));
    expect(await uploads.receive(id, hex(''), 0, pieces())).toEqual({ receivedBytes: 0, complete: true });
  });

  test('leaves an audit row with its creation', async () => {
    await create(entry('a', 'x'));
    const rows = await db.selectFrom('audit').selectAll().execute();
    expect(rows).toEqual([expect.objectContaining({ actor: 'token:ci', action: 'model.upload', subject: 'ocr' })]);
  });
});

describe('a wrong piece is refused by name and loses nothing', () => {
  test('another offset', async () => {
    const { id } = await create(entry('a.bin', 'hello world'));
    await uploads.receive(id, hex('hello world'), 0, pieces('hello'));
    const wrong = uploads.receive(id, hex('hello world'), 3, pieces('lo world'));
    await expect(wrong).rejects.toMatchObject({
      code: 'conflict',
      field: 'offset',
      message: expect.stringContaining('5'),
    });
    expect(await uploads.receive(id, hex('hello world'), 5, pieces(' world'))).toMatchObject({ complete: true });
  });

  test('other bytes than the digest says: the file starts anew', async () => {
    const { id } = await create(entry('a.bin', 'hello'));
    const tampered = uploads.receive(id, hex('hello'), 0, pieces('hellO'));
    await expect(tampered).rejects.toMatchObject({ code: 'invalid', field: 'files/a.bin' });
    expect((await uploads.show(id)).files[0]).toMatchObject({ receivedBytes: 0, complete: false });
    expect(await uploads.receive(id, hex('hello'), 0, pieces('hello'))).toMatchObject({ complete: true });
  });

  test('more bytes than stated', async () => {
    const { id } = await create(entry('a.bin', 'hello'));
    const surplus = uploads.receive(id, hex('hello'), 0, pieces('hello', '!'));
    await expect(surplus).rejects.toMatchObject({ code: 'invalid', field: 'files/a.bin' });
    const { receivedBytes } = (await uploads.show(id)).files[0]!;
    expect(await uploads.receive(id, hex('hello'), receivedBytes, pieces('hello'.slice(receivedBytes)))).toMatchObject({
      complete: true,
    });
  });

  test('a file that is not part of it, an upload that is none', async () => {
    const { id } = await create(entry('a', 'x'));
    await expect(uploads.receive(id, hex('y'), 0, pieces('y'))).rejects.toMatchObject({
      code: 'not-found',
      field: 'hex',
    });
    await expect(uploads.receive('nope', hex('x'), 0, pieces('x'))).rejects.toMatchObject({
      code: 'not-found',
      field: 'id',
    });
  });

  test('two writers of one file', async () => {
    const { id } = await create(entry('a.bin', 'hello'));
    let go = (): void => undefined;
    const gate = new Promise<void>((resolve) => (go = resolve));
    let started = (): void => undefined;
    const begun = new Promise<void>((resolve) => (started = resolve));
    const slow = uploads.receive(
      id,
      hex('hello'),
      0,
      (async function* () {
        started();
        await gate;
        yield bytes('hello');
      })(),
    );
    await begun;
    await expect(uploads.receive(id, hex('hello'), 0, pieces('hello'))).rejects.toMatchObject({ code: 'conflict' });
    go();
    expect(await slow).toMatchObject({ complete: true });
  });
});

describe('a list of files that can’t be', () => {
  test.each([
    ['twice the same path', [entry('a', 'x'), entry('a', 'y')], 'files/1/path'],
    ['paths that differ in case only', [entry('A', 'x'), entry('a', 'y')], 'files/1/path'],
    ['a file that is a folder too', [entry('a', 'x'), entry('a/b/c', 'y')], 'files'],
    ['equal digests of different sizes', [entry('a', 'x'), { ...entry('b', 'x'), sizeBytes: 2 }], 'files/1/sizeBytes'],
  ])('%s', async (_what, files, field) => {
    await expect(create(...files)).rejects.toMatchObject({ code: 'invalid', field });
    expect(await db.selectFrom('uploads').selectAll().execute()).toEqual([]);
  });

  test('too large', async () => {
    uploads = new Uploads(db, content, clock, { ...UPLOAD_LIMITS, packageBytes: 10 });
    await expect(create(entry('a', '12345678901'))).rejects.toMatchObject({ code: 'too-large', field: 'files' });
    await expect(create(entry('a', '1234567890'))).resolves.toBeDefined();
  });

  test('too many uploads at once', async () => {
    uploads = new Uploads(db, content, clock, { ...UPLOAD_LIMITS, openUploads: 1 });
    await create(entry('a', 'x'));
    await expect(create(entry('a', 'x'))).rejects.toMatchObject({ code: 'conflict' });
    clock.advance(UPLOAD_LIMITS.idleMs);
    await expect(create(entry('a', 'x'))).resolves.toBeDefined();
  });
});

test('an abandoned upload expires with its files; each piece prolongs it; what others need stays', async () => {
  const abandoned = await create(
    entry('a', 'hello'),
    entry('b', 'shared file'),
    entry('c', 'whole'),
    entry('d', 'published'),
  );
  await uploads.receive(abandoned.id, hex('hello'), 0, pieces('he'));
  await uploads.receive(abandoned.id, hex('shared file'), 0, pieces('sha'));
  await uploads.receive(abandoned.id, hex('whole'), 0, pieces('whole'));
  await uploads.receive(abandoned.id, hex('published'), 0, pieces('published'));
  await db.insertInto('models').values({ name: 'ocr', description: null, created_at: 'now' }).execute();
  const manifest = JSON.stringify({ files: [entry('d', 'published')] });
  const row = {
    label: null,
    licence: 'MIT',
    privacy: 'hub' as const,
    detail: null,
    size_bytes: 1,
    created_at: 'now',
    state: 'ready' as const,
  };
  await db
    .insertInto('versions')
    .values({ ...row, model: 'ocr', version: 1, digest: 'sha256:v', manifest })
    .execute();
  clock.advance(UPLOAD_LIMITS.idleMs - 1);
  const kept = await create(entry('b', 'shared file'));
  clock.advance(1);
  expect(await uploads.removeExpired()).toBe(1);
  await expect(uploads.show(abandoned.id)).rejects.toMatchObject({ code: 'not-found' });
  expect(await content.partialBytes(sha256('hello'))).toBe(0);
  expect([await content.has(sha256('whole')), await content.has(sha256('published'))]).toEqual([false, true]);
  expect((await uploads.show(kept.id)).files[0]).toMatchObject({ receivedBytes: 3 });
});

test('a full disk is said with its field, and the upload goes on once there is space (B5)', async () => {
  const files = failingFiles();
  uploads = new Uploads(db, await ContentStore.open({ folder: folder() }, files), clock);
  const { id } = await create(entry('a', 'hello'));
  files.failNext('content.append', 'ENOSPC');
  await expect(uploads.receive(id, hex('hello'), 0, pieces('hello'))).rejects.toMatchObject({
    code: 'no-space',
    field: 'files/a',
  });
  const { receivedBytes } = (await uploads.show(id)).files[0]!;
  expect(await uploads.receive(id, hex('hello'), receivedBytes, pieces('hello'.slice(receivedBytes)))).toMatchObject({
    complete: true,
  });
});

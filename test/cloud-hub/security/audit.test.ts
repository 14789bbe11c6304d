import { listAudit, recordAudit } from '@tidegate/cloud-hub/security/audit.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { afterEach, beforeEach, expect, test } from 'vitest';

let db: Database;
beforeEach(async () => {
  db = await openSqlite(':memory:');
});
afterEach(() => db.destroy());

const entry = (subject: string) => ({ actor: 'token:a', action: 'model.publish', subject, detail: { n: 1 } });

test('a row goes with its transaction: undone together', async () => {
  const failing = db.transaction().execute(async (trx) => {
    await recordAudit(trx, entry('ocr@1'), 0);
    throw new Error('undo');
  });
  await expect(failing).rejects.toThrow('undo');
  expect(await listAudit(db, { limit: 10 })).toEqual([]);
});

test('rows are listed newest first, page by page, and by the subject’s beginning', async () => {
  for (const subject of ['ocr', 'ocr@1', 'ocr_line', 'digits@1', 'oc']) await recordAudit(db, entry(subject), 1000);
  const page = await listAudit(db, { limit: 2 });
  expect(page.map((row) => row.subject)).toEqual(['oc', 'digits@1']);
  expect(page[0]).toMatchObject({ at: '1970-01-01T00:00:01.000Z', detail: { n: 1 } });
  const next = await listAudit(db, { limit: 10, beforeId: page[1]?.id ?? 0 });
  expect(next.map((row) => row.subject)).toEqual(['ocr_line', 'ocr@1', 'ocr']);
  expect((await listAudit(db, { limit: 10, subject: 'ocr@' })).map((row) => row.subject)).toEqual(['ocr@1']);
  expect((await listAudit(db, { limit: 10, subject: '%' })).length).toBe(0);
});

// The audit log: a row for every change, written in the transaction that makes the change; so there is no change without its
// row, and no row without its change.
import type { Transaction } from 'kysely';
import type { auditRowSchema } from '@tidegate/shared/wire/admin-api.js';
import type { z } from 'zod';
import type { Database, Tables } from '../storage/database.js';

interface AuditEntry {
  /** `token:ci`, `device:cam-1`, `system:rollouts`. */
  readonly actor: string;
  /** `model.publish`, `rollout.start` ... */
  readonly action: string;
  /** What was changed: `ocr-line@3`. */
  readonly subject: string;
  readonly detail?: Readonly<Record<string, unknown>>;
}

export type RecordAudit = (db: Database | Transaction<Tables>, entry: AuditEntry, nowMs: number) => Promise<void>;

export const recordAudit: RecordAudit = async (db, entry, nowMs) => {
  await db
    .insertInto('audit')
    .values({
      at: new Date(nowMs).toISOString(),
      actor: entry.actor,
      action: entry.action,
      subject: entry.subject,
      detail: JSON.stringify(entry.detail ?? {}),
    })
    .execute();
};

type AuditRow = z.infer<typeof auditRowSchema>;

/** Newest first. `beforeId`: rows older than that one. `subject` matches from its beginning (`ocr-line`, `ocr-line@3`). */
export async function listAudit(
  db: Database,
  query: { readonly limit: number; readonly beforeId?: number; readonly subject?: string },
): Promise<AuditRow[]> {
  let select = db.selectFrom('audit').selectAll().orderBy('id', 'desc').limit(query.limit);
  if (query.beforeId !== undefined) select = select.where('id', '<', query.beforeId);
  if (query.subject !== undefined) {
    // A range instead of LIKE: no wildcards to escape, and the index serves it.
    select = select.where('subject', '>=', query.subject).where('subject', '<', `${query.subject}\uffff`);
  }
  const rows = await select.execute();
  return rows.map((row) => ({ ...row, detail: JSON.parse(row.detail) as Record<string, unknown> }));
}

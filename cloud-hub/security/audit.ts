// The audit log: a row for every change, written in the transaction that makes the change.
import type { Transaction } from 'kysely';
import type { Tables, Database } from '../storage/database.js';

export interface AuditEntry {
  /** `token:ci`, `device:cam-1`, `system:rollouts`. */
  readonly actor: string;
  /** `model.publish`, `rollout.start` ... */
  readonly action: string;
  /** What was changed: `ocr-line@3`. */
  readonly subject: string;
  readonly detail?: Readonly<Record<string, unknown>>;
}

export type RecordAudit = (db: Database | Transaction<Tables>, entry: AuditEntry, nowMs: number) => Promise<void>;

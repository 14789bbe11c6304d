// What the device installs and what it runs, one row per model, and one per activation. A row is written before the step
// that it names begins, so after a power cut it says how far things can have come at most. Attempts are counted per
// (model, variant digest, rollout): a failing version is tried twice and then left alone across any number of restarts
// (field lesson B12), while a new rollout of the same digest is an operator's word and starts anew.
import { z } from 'zod';
import { desiredModelSchema } from '@tidegate/shared/wire/desired-state.js';
import { ACTIVATION_STEPS } from '@tidegate/shared/wire/reported-state.js';
import { parseDocument } from './documents.js';
import type { SqliteDatabase } from './open-database.js';
import { writing } from './state-error.js';

/** Records kept per model; the oldest go first. */
export const LIMIT_ACTIVATIONS_PER_MODEL = 32;

export const activeVersionSchema = z.strictObject({
  /** What answers, or will answer as soon as it is loaded. */
  running: desiredModelSchema,
  /** Device's clock at the switch; for people. */
  sinceMs: z.number(),
  /** False during probation. */
  committed: z.boolean(),
  /** During probation what a roll back returns to; afterwards kept on disk so that the hub's roll back needs no download. */
  previous: desiredModelSchema.optional(),
});
export type ActiveVersion = z.infer<typeof activeVersionSchema>;

const activationRecordSchema = z.strictObject({
  target: desiredModelSchema,
  /** The step under way, or about to begin. */
  step: z.enum(ACTIVATION_STEPS),
  state: z.enum(['running', 'failed', 'rolled-back', 'superseded', 'needs-attention']),
  attempt: z.int().min(1),
  /** Times that the agent died in this attempt in a step that may have killed it. */
  interruptions: z.int().min(0),
  error: z.string().max(2000).optional(),
});
export type ActivationRecord = z.infer<typeof activationRecordSchema>;

export class Activations {
  readonly #database: SqliteDatabase;

  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  active(): ReadonlyMap<string, ActiveVersion> {
    const rows = this.#database
      .prepare<[], { model: string; document: string }>('SELECT model, document FROM active_versions ORDER BY model')
      .all();
    return new Map(
      rows.flatMap(({ model, document }) => {
        const parsed = parseDocument(document, activeVersionSchema);
        return parsed === undefined ? [] : [[model, parsed] as const];
      }),
    );
  }

  /** Newest last. */
  records(): readonly ActivationRecord[] {
    const rows = this.#database
      .prepare<[], { document: string }>('SELECT document FROM activations ORDER BY changed')
      .all();
    return rows.flatMap(({ document }) => parseDocument(document, activationRecordSchema) ?? []);
  }

  save(record: ActivationRecord): void {
    writing('activation record', () => this.#database.transaction(() => this.#put(record))());
  }

  /** The one write of a switch, a commit or a roll back: what runs and the record that says so, both or neither. */
  saveActive(model: string, active: ActiveVersion | undefined, record: ActivationRecord | undefined): void {
    writing('active version', () =>
      this.#database.transaction(() => {
        if (active === undefined) {
          this.#database.prepare('DELETE FROM active_versions WHERE model = ?').run(model);
        } else {
          this.#database
            .prepare(
              'INSERT INTO active_versions (model, document) VALUES (?, ?) ON CONFLICT (model) DO UPDATE SET document = excluded.document',
            )
            .run(model, JSON.stringify(active));
        }
        if (record !== undefined) this.#put(record);
      })(),
    );
  }

  /** Ends an activation well: what runs is committed and its records of that version are forgotten, in one write. */
  commit(model: string, active: ActiveVersion): void {
    writing('commit', () =>
      this.#database.transaction(() => {
        this.saveActive(model, { ...active, committed: true }, undefined);
        this.#database
          .prepare('DELETE FROM activations WHERE model = ? AND variant_digest = ?')
          .run(model, active.running.variantDigest);
      })(),
    );
  }

  #put(record: ActivationRecord): void {
    const { name, variantDigest, rolloutId } = record.target;
    this.#database
      .prepare(
        `INSERT INTO activations (model, variant_digest, rollout_id, changed, document)
         VALUES (?, ?, ?, (SELECT coalesce(max(changed), 0) + 1 FROM activations), ?)
         ON CONFLICT (model, variant_digest, rollout_id) DO UPDATE SET changed = excluded.changed, document = excluded.document`,
      )
      .run(name, variantDigest, rolloutId ?? '', JSON.stringify(record));
    this.#database
      .prepare(
        `DELETE FROM activations WHERE model = ? AND changed NOT IN
           (SELECT changed FROM activations WHERE model = ? ORDER BY changed DESC LIMIT ?)`,
      )
      .run(name, name, LIMIT_ACTIVATIONS_PER_MODEL);
  }
}

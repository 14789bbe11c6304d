// Samples as people work with them: find, look at, judge, delete. Where they come from is sample-intake.ts; what the hub's own model
// thinks of them is sample-proposals.ts.
import { ContentError } from '@tidegate/shared/content/content-error.js';
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import type { SampleSummary, SampleView } from '@tidegate/shared/wire/data-api.js';
import { hexOf, type Digest } from '@tidegate/shared/wire/digest.js';
import { decodeSample } from '@tidegate/shared/wire/sample.js';
import { DataError } from './data-error.js';
import {
  ACCEPT,
  changeSample,
  labelAs,
  REJECT,
  REOPEN,
  requireRow,
  type SampleChange,
  type SampleChangesModules,
} from './sample-changes.js';
import type { SampleClasses } from './sample-classes.js';
import type { SampleIntake } from './sample-intake.js';
import { samplePicture, type SamplePicture } from './sample-picture.js';
import { parseSampleQuery } from './sample-query.js';
import { selectSamples, showSample } from './sample-rows.js';
import { isHeldByPackage } from './held-by-packages.js';
import { whereSamples } from './sample-where.js';

interface SampleServiceModules extends SampleChangesModules {
  readonly content: ContentStore;
  readonly intake: Pick<SampleIntake, 'inTurn'>;
  readonly classes: Pick<SampleClasses, 'check'>;
  readonly limits?: { readonly counted: number };
}

/** Samples that a summary counts: counting blocks the database, and with it the hub. */
const LIMIT_COUNTED = 50_000;
/** Different labels or answers that a summary shows. */
const LIMIT_VALUES = 200;

interface SamplePage {
  /** In the language of sample-query.ts. */
  readonly where?: string | undefined;
  readonly limit: number;
  /** `nextCursor` of the page before. */
  readonly cursor?: string | undefined;
}

export class SampleService {
  readonly #m: SampleServiceModules;

  constructor(modules: SampleServiceModules) {
    this.#m = modules;
  }

  /**
   * The newest first, by when the hub got them. Pages hold every sample that was there when the first one was read; what arrives
   * meanwhile stands before them. Rejects with DataError `invalid` (field `where` or `cursor`).
   */
  async list({ where, limit, cursor }: SamplePage): Promise<{ items: SampleView[]; nextCursor?: string }> {
    let select = selectSamples(this.#m.db).orderBy('received_at_ms', 'desc').orderBy('id', 'desc');
    if (where !== undefined) select = select.where(this.#where(where));
    if (cursor !== undefined) {
      const { atMs, id } = readCursor(cursor);
      select = select
        .where('received_at_ms', '<=', atMs)
        .where((eb) => eb.or([eb('received_at_ms', '<', atMs), eb('samples.id', '<', id)]));
    }
    const rows = await select.limit(limit + 1).execute();
    const items = rows.slice(0, limit);
    const last = items.at(-1);
    return {
      items: items.map(showSample),
      ...(rows.length > limit && last !== undefined ? { nextCursor: `${last.received_at_ms}.${hexOf(last.id)}` } : {}),
    };
  }

  /** Of the newest LIMIT_COUNTED that the conditions pick. Rejects with DataError `invalid` (field `where`). */
  async summary(where: string | undefined): Promise<SampleSummary> {
    let newest = this.#m.db.selectFrom('samples').select(['state', 'reason', 'model', 'label', 'answer']);
    if (where !== undefined) newest = newest.where(this.#where(where));
    const counted = this.#m.limits?.counted ?? LIMIT_COUNTED;
    const limited = newest.orderBy('received_at_ms', 'desc').orderBy('samples.id', 'desc').limit(counted);
    const chosen = this.#m.db.selectFrom(limited.as('chosen'));
    const counts = async (
      column: 'state' | 'reason' | 'model' | 'label' | 'answer',
    ): Promise<Record<string, number>> => {
      const rows = await chosen
        .select((eb) => [eb.ref(column).as('value'), eb.fn.countAll<number>().as('count')])
        .where(column, 'is not', null)
        .groupBy(column)
        .orderBy('count', 'desc')
        .orderBy(column)
        .limit(LIMIT_VALUES)
        .execute();
      return Object.fromEntries(rows.map(({ value, count }) => [value, Number(count)]));
    };
    const { count } = await chosen.select(({ fn }) => fn.countAll<number>().as('count')).executeTakeFirstOrThrow();
    return {
      count: Number(count),
      more: Number(count) === counted,
      states: await counts('state'),
      reasons: await counts('reason'),
      models: await counts('model'),
      labels: await counts('label'),
      answers: await counts('answer'),
    };
  }

  /** Rejects with DataError `not-found`. */
  async get(id: Digest): Promise<SampleView> {
    return showSample(await requireRow(this.#m.db, id));
  }

  /** Rejects with DataError `not-found` where the sample has no such input. */
  async input(id: Digest, name: string): Promise<NamedTensor> {
    const inputs = await this.inputs(id);
    const input = inputs.find((one) => one.name === name);
    if (input !== undefined) return input;
    const names = inputs.map((one) => one.name).join(', ');
    throw new DataError('not-found', `${id} has no input ${name}; it has ${names}`, { field: 'name' });
  }

  /** Rejects with DataError `not-found` where no input is one. */
  async picture(id: Digest): Promise<SamplePicture> {
    const picture = await samplePicture(await this.inputs(id));
    if (picture === undefined) throw new DataError('not-found', `no input of ${id} is a picture`);
    return picture;
  }

  async inputs(id: Digest): Promise<readonly NamedTensor[]> {
    await requireRow(this.#m.db, id);
    try {
      return decodeSample(await this.#m.content.read(id)).inputs;
    } catch (cause) {
      if (!(cause instanceof ContentError) || cause.code !== 'not-found') throw cause;
      throw new DataError('not-found', `the body of ${id} is gone from the store`, { cause, field: 'id' });
    }
  }

  /** Rejects with DataError `invalid` (field `label`) for what is no class of the model. */
  async label(id: Digest, label: string, actor: string): Promise<SampleView> {
    const { model } = await requireRow(this.#m.db, id);
    await this.#m.classes.check(model, label);
    return this.#change(id, actor, labelAs(label));
  }

  reject(id: Digest, actor: string): Promise<SampleView> {
    return this.#change(id, actor, REJECT);
  }

  /** Takes the last decision back. */
  reopen(id: Digest, actor: string): Promise<SampleView> {
    return this.#change(id, actor, REOPEN);
  }

  /** The proposal becomes the label. Rejects with DataError `conflict` where there is none. */
  accept(id: Digest, actor: string): Promise<SampleView> {
    return this.#change(id, actor, ACCEPT);
  }

  /**
   * Row and body; datasets that were frozen from it keep their own copy. The row goes first: what is killed in between leaves a body that
   * nothing names. Rejects with DataError `not-found`.
   */
  delete(id: Digest, actor: string): Promise<void> {
    const { db, events, audit, clock, content, intake } = this.#m;
    return intake.inTurn(id, async () => {
      await db.transaction().execute(async (tx) => {
        const row = await requireRow(tx, id);
        await tx.deleteFrom('samples').where('id', '=', id).execute();
        const { model, state, label, device_id: device, inputs_digest: inputsDigest } = row;
        const detail = { model, state, label, device, inputsDigest };
        await audit(tx, { actor, action: 'sample.delete', subject: id, detail }, clock.nowMs());
      });
      events.emit({ kind: 'sample-deleted', id });
      // A dataset's shard never is of these bytes: it begins with a mark.
      if (!(await isHeldByPackage(db, id))) await content.remove(id);
    });
  }

  #where(text: string): ReturnType<typeof whereSamples> {
    return whereSamples(parseSampleQuery(text, 'where', this.#m.clock.nowMs()));
  }

  #change(id: Digest, actor: string, change: SampleChange): Promise<SampleView> {
    return changeSample(this.#m, id, actor, change);
  }
}

function readCursor(cursor: string): { atMs: number; id: Digest } {
  const match = /^([0-9]{1,15})\.([0-9a-f]{64})$/.exec(cursor);
  if (match === null) throw new DataError('invalid', 'cursor: is none that the hub gave', { field: 'cursor' });
  return { atMs: Number(match[1]), id: `sha256:${match[2]}` };
}

// The one way in for samples, from devices and from imports alike: the body goes into the content store under its digest, then a
// row tells of it. Idempotent by that digest: a sample that comes twice, late or out of order changes nothing. What a device sends
// is taken only for a version whose privacy policy allows capture; the device decides by the same policy, and this does not rely
// on it.
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import { ContentError } from '@tidegate/shared/content/content-error.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import { inParallel } from '@tidegate/shared/system/in-parallel.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { decodeSample, inputsDigest, sampleId, type Sample } from '@tidegate/shared/wire/sample.js';
import type { HubEvents } from '../hub-events.js';
import { readPrivacy } from '../registry/version-privacy.js';
import type { Database } from '../storage/database.js';
import type { SampleTable } from '../storage/tables/data.js';
import { DataError, isNoSpace, readSent } from './data-error.js';
import { AnswerOutputs, answerText } from './sample-answer.js';
import { selectSamples, showSample } from './sample-rows.js';
import { SampleTurns } from './sample-turns.js';

/** Most that one hub keeps; more is refused until an operator makes room. */
const SAMPLE_LIMITS = { count: 1_000_000, bytes: 64 * 1024 ** 3 } as const;

/** Bodies of one batch that are written at once. */
const BODIES_AT_ONCE = 8;

type SampleOrigin =
  | { /** Id of the device, as its certificate says. */ readonly device: string }
  | { /** Name of the import. */ readonly batch: string; readonly label?: string };

interface SampleIntakeModules {
  readonly db: Database;
  readonly content: ContentStore;
  readonly events: HubEvents;
  readonly clock: Clock;
  readonly limits?: { readonly count: number; readonly bytes: number };
}

interface SampleTaken {
  /** Digest of the body. */
  readonly id: Digest;
  /** False where the hub had it already. */
  readonly added: boolean;
}

interface Given {
  readonly body: Uint8Array;
  readonly origin: SampleOrigin;
}

interface Arrived extends Given {
  readonly id: Digest;
  readonly sample: Sample;
}

type Lineage = Pick<SampleTable, 'version' | 'version_digest' | 'variant' | 'variant_digest'>;

export class SampleIntake {
  readonly #m: SampleIntakeModules;
  readonly #answers: AnswerOutputs;
  readonly #turns = new SampleTurns();
  /** What is kept, as far as this knows: read once, then counted along; read again before anything is refused. */
  #kept: { count: number; bytes: number } | undefined;

  constructor(modules: SampleIntakeModules) {
    this.#m = modules;
    this.#answers = new AnswerOutputs(modules);
  }

  /** Rejects with DataError `invalid` (names the field), `forbidden`, `full`, `no-space` or `busy`; nothing is kept of what is refused. */
  async take(body: Uint8Array, origin: SampleOrigin): Promise<SampleTaken> {
    const [taken] = await this.takeAll([{ body, origin }]);
    if (taken === undefined) throw new Error('of one sample none was taken');
    return taken;
  }

  /** Several as one: all are kept or none, and the disk is waited for once for all of their rows. Rejects as take. */
  async takeAll(given: readonly Given[]): Promise<SampleTaken[]> {
    const arrived = given.map(({ body, origin }) => {
      return { id: sampleId(body), sample: readSent(() => decodeSample(body)), body, origin };
    });
    const distinct = new Map(arrived.map((one) => [one.id, one]));
    // In one order, so that two batches never wait for each other.
    const kept = [...distinct.keys()].sort().reduceRight<() => Promise<ReadonlySet<Digest>>>(
      (work, id) => () => this.inTurn(id, work),
      () => this.#keepNew([...distinct.values()]),
    );
    const added = await kept();
    return arrived.map(({ id }) => ({ id, added: added.has(id) }));
  }

  /** Runs what changes this sample's body and row together while no body of the same digest comes in. */
  inTurn<T>(id: Digest, work: () => Promise<T>): Promise<T> {
    return this.#turns.run(id, work);
  }

  /** Returns the ids of those that the hub had not. */
  async #keepNew(arrived: readonly Arrived[]): Promise<ReadonlySet<Digest>> {
    const ids = arrived.map(({ id }) => id);
    const held = await this.#m.db.selectFrom('samples').select('id').where('id', 'in', ids).execute();
    const known = new Set(held.map(({ id }) => id));
    const fresh = arrived.filter(({ id }) => !known.has(id));
    if (fresh.length === 0) return new Set();
    const rows: SampleTable[] = [];
    for (const { id, body, sample, origin } of fresh) {
      const lineage = 'device' in origin ? await this.#lineage(sample) : await this.#statedLineage(sample);
      const answer = await this.#answer(sample, lineage);
      rows.push({ ...this.#rowOf(id, body, sample, origin), ...lineage, answer });
    }
    await this.#requireRoom(fresh);
    const added: Digest[] = [];
    try {
      await storing(async () => {
        await this.#putBodies(fresh, added);
        await this.#m.db.insertInto('samples').values(rows).execute();
      });
    } catch (cause) {
      for (const id of added) await this.#m.content.remove(id); // no row tells of it
      throw cause;
    }
    await this.#announce(rows);
    return new Set(rows.map(({ id }) => id));
  }

  /** Into `added` go the ids of bodies that the store had not: a package may have a file of the same bytes. */
  async #putBodies(fresh: readonly Arrived[], added: Digest[]): Promise<void> {
    const { content } = this.#m;
    await inParallel(fresh, BODIES_AT_ONCE, async ({ id, body }) => {
      if (await content.has(id)) return;
      await content.put([body], { digest: id, sizeBytes: body.byteLength });
      added.push(id);
    });
  }

  async #announce(rows: readonly SampleTable[]): Promise<void> {
    if (this.#kept !== undefined) {
      this.#kept.count += rows.length;
      this.#kept.bytes += rows.reduce((sum, row) => sum + row.size_bytes, 0);
    }
    const ids = rows.map(({ id }) => id);
    const shown = await selectSamples(this.#m.db).where('samples.id', 'in', ids).execute();
    for (const row of shown) this.#m.events.emit({ kind: 'sample', sample: showSample(row) });
  }

  /** Of a device's sample: a version and variant that the registry has, and a policy that allows it. */
  async #lineage({ facts }: Sample): Promise<Lineage> {
    if (facts.reason === 'import')
      throw new DataError('invalid', 'reason: import is not a device’s', { field: 'reason' });
    for (const field of ['versionDigest', 'variantDigest'] as const) {
      if (facts[field] === undefined) throw new DataError('invalid', `${field}: is missing`, { field });
    }
    const found = await this.#statedLineage({ facts });
    if (found.version === null || found.variant === null) {
      const field = found.version === null ? 'versionDigest' : 'variantDigest';
      throw new DataError('forbidden', `${field}: the hub has no such version of ${facts.model}`, { field });
    }
    return found;
  }

  /** Checks the policy wherever the version is known; an imported sample may be of no version. */
  async #statedLineage({ facts }: Pick<Sample, 'facts'>): Promise<Lineage> {
    const stated = { version_digest: facts.versionDigest ?? null, variant_digest: facts.variantDigest ?? null };
    if (facts.versionDigest === undefined) return { ...stated, version: null, variant: null };
    const version = await this.#m.db
      .selectFrom('versions')
      .select(['version', 'privacy'])
      .where('model', '=', facts.model)
      .where('digest', '=', facts.versionDigest)
      .executeTakeFirst();
    if (version === undefined) return { ...stated, version: null, variant: null };
    if (readPrivacy(version.privacy).capture !== 'hub') {
      throw new DataError('forbidden', `${facts.model}@${version.version}: its privacy policy allows no capture`, {
        field: 'versionDigest',
      });
    }
    const variant = await this.#m.db
      .selectFrom('variants')
      .select('variant')
      .where('model', '=', facts.model)
      .where('version', '=', version.version)
      .where('digest', '=', facts.variantDigest ?? '')
      .executeTakeFirst();
    return { ...stated, version: version.version, variant: variant?.variant ?? null };
  }

  async #answer({ facts, outputs }: Sample, { version }: Lineage): Promise<string | null> {
    if (version === null || outputs.length === 0) return null;
    const name = await this.#answers.outputOf(facts.model, version);
    return answerText(outputs.find((output) => output.name === name)) ?? null;
  }

  #rowOf(
    id: Digest,
    body: Uint8Array,
    { facts, inputs }: Sample,
    origin: SampleOrigin,
  ): Omit<SampleTable, keyof Lineage | 'answer'> {
    const label = 'batch' in origin ? (origin.label ?? null) : null;
    return {
      id,
      model: facts.model,
      device_id: 'device' in origin ? origin.device : null,
      batch: 'batch' in origin ? origin.batch : null,
      captured_at_ms: Math.round(facts.capturedAtMs),
      received_at_ms: this.#m.clock.nowMs(),
      confidence: facts.confidence ?? null,
      reason: facts.reason,
      inputs_digest: inputsDigest(inputs),
      inputs: JSON.stringify(inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape }))),
      size_bytes: body.byteLength,
      state: label === null ? 'new' : 'labelled',
      label,
      label_source: label === null ? null : 'import',
      proposed_label: null,
      proposed_confidence: null,
      proposed_version: null,
    };
  }

  async #requireRoom(fresh: readonly Arrived[]): Promise<void> {
    const limits = this.#m.limits ?? SAMPLE_LIMITS;
    const sizeBytes = fresh.reduce((sum, { body }) => sum + body.byteLength, 0);
    const fits = ({ count, bytes }: { count: number; bytes: number }): boolean =>
      count + fresh.length <= limits.count && bytes + sizeBytes <= limits.bytes;
    if (this.#kept !== undefined && fits(this.#kept)) return;
    const { count, bytes } = await this.#m.db
      .selectFrom('samples')
      .select(({ fn }) => [fn.countAll<number>().as('count'), fn.sum<number | null>('size_bytes').as('bytes')])
      .executeTakeFirstOrThrow();
    this.#kept = { count: Number(count), bytes: Number(bytes ?? 0) };
    if (fits(this.#kept)) return;
    const held = `${this.#kept.count} samples of ${this.#kept.bytes} bytes`;
    throw new DataError('full', `the hub keeps ${held}; at most ${limits.count} of ${limits.bytes} bytes are kept`);
  }
}

/** What the store and the database refuse, in this subsystem's words. */
async function storing<T>(write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (cause) {
    if (cause instanceof ContentError && cause.code === 'busy') {
      throw new DataError('busy', 'the same sample is being received already', { cause });
    }
    if (isNoSpace(cause)) {
      throw new DataError('no-space', "the hub's disk is full; the sample was not kept", { cause });
    }
    throw cause;
  }
}

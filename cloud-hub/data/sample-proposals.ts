// What the hub's own model says of a sample: the newest ready version, fp32 and with its heavy readings, asked in this process at the
// lowest priority. Its answer is kept as a proposal, which a person accepts or not. A proposal of that version is not asked for again.
import type { InferenceService } from '@tidegate/shared/serving/inference-service.js';
import { ServingError, type ServingErrorCode } from '@tidegate/shared/serving/serving-error.js';
import type { Proposed, SampleView } from '@tidegate/shared/wire/data-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { Catalogue } from '../inference/catalogue.js';
import { DataError, type DataErrorCode } from './data-error.js';
import { answerOutput, answerText } from './sample-answer.js';
import { changeSample, proposeLabel, type SampleChangesModules } from './sample-changes.js';
import { parseSampleQuery } from './sample-query.js';
import type { SampleService } from './sample-service.js';
import { whereSamples } from './sample-where.js';

/** Of one answer; the first may have to wait for the model to be loaded. */
const TIMEOUT_MS = 60_000;
/** When `proposeMany` begins no more. */
const MANY_TIMEOUT_MS = 30_000;
const MANY_AT_ONCE = 4;
const LOWEST_PRIORITY = 10;
/** Failures that an answer lists. */
const LIMIT_FAILURES = 20;

interface SampleProposalsModules extends SampleChangesModules {
  readonly samples: Pick<SampleService, 'get' | 'inputs'>;
  readonly inference: Pick<InferenceService, 'infer'>;
  readonly catalogue: Pick<Catalogue, 'find' | 'names'>;
}

export class SampleProposals {
  readonly #m: SampleProposalsModules;

  constructor(modules: SampleProposalsModules) {
    this.#m = modules;
  }

  /**
   * Rejects with DataError `not-found` (no such sample), `conflict` (the hub has no ready version, or its package names no answer),
   * `invalid` (the inputs are none that this version takes), `busy`, or with the signal's reason.
   */
  async propose(id: Digest, actor: string, signal: AbortSignal): Promise<SampleView> {
    const sample = await this.#m.samples.get(id);
    const entry = this.#m.catalogue.find(sample.model, undefined);
    if (entry === undefined) throw new DataError('conflict', `the hub has no ready version of ${sample.model}`);
    const { version } = entry.variant;
    if (sample.proposal?.version === version) return sample;
    const output = answerOutput(entry.yaml);
    if (output === undefined) {
      throw new DataError('conflict', `${sample.model}@${version} names no output that could be a label`);
    }
    const inputs = await this.#m.samples.inputs(id);
    const answer = await this.#ask(
      { model: sample.model, version: String(version), inputs, outputs: [output] },
      signal,
    );
    const label = answerText(answer.outputs.find(({ name }) => name === output));
    if (label === undefined || label === '') {
      throw new DataError('conflict', `${sample.model}@${version} answers no text in ${output}`);
    }
    return changeSample(this.#m, id, actor, proposeLabel(label, version, answer.provenance.confidence));
  }

  /**
   * The newest `limit` samples that the query picks and the newest version hasn't proposed a label for. A sample that fails doesn't end
   * it. Rejects with DataError `invalid` (field `where`) or the signal's reason.
   */
  async proposeMany(where: string | undefined, limit: number, actor: string, signal: AbortSignal): Promise<Proposed> {
    const untilMs = this.#m.clock.monotonicMs() + MANY_TIMEOUT_MS;
    const waiting = await this.#withoutProposal(where, limit + 1);
    const queue = waiting.slice(0, limit);
    const failures: Proposed['failures'] = [];
    let [proposed, failed] = [0, 0];
    const work = async (): Promise<void> => {
      while (this.#m.clock.monotonicMs() < untilMs) {
        const id = queue.shift();
        if (id === undefined) return;
        try {
          await this.propose(id, actor, signal);
          proposed += 1;
        } catch (cause) {
          signal.throwIfAborted();
          if (!(cause instanceof DataError || cause instanceof ServingError)) throw cause;
          failed += 1;
          if (failures.length < LIMIT_FAILURES) failures.push({ id, reason: cause.message });
        }
      }
    };
    await Promise.all(Array.from({ length: MANY_AT_ONCE }, work));
    return { proposed, failed, failures, more: queue.length > 0 || waiting.length > limit };
  }

  async #withoutProposal(where: string | undefined, limit: number): Promise<Digest[]> {
    const { db, catalogue } = this.#m;
    const newest = catalogue.names().flatMap((name) => catalogue.find(name, undefined)?.variant ?? []);
    let select = db
      .selectFrom('samples')
      .select('id')
      .where((eb) =>
        eb.or(
          newest.map(({ model, version }) =>
            eb.and([
              eb('samples.model', '=', model),
              eb.or([eb('proposed_version', 'is', null), eb('proposed_version', '!=', version)]),
            ]),
          ),
        ),
      );
    if (where !== undefined) {
      select = select.where(whereSamples(parseSampleQuery(where, 'where', this.#m.clock.nowMs())));
    }
    const rows = await select.orderBy('received_at_ms', 'desc').orderBy('samples.id', 'desc').limit(limit).execute();
    return rows.map(({ id }) => id as Digest);
  }

  async #ask(
    asked: Pick<Parameters<InferenceService['infer']>[0], 'model' | 'version' | 'inputs' | 'outputs'>,
    signal: AbortSignal,
  ): ReturnType<InferenceService['infer']> {
    const { inference, clock } = this.#m;
    try {
      return await inference.infer(
        {
          ...asked,
          id: undefined,
          deadlineMs: clock.monotonicMs() + TIMEOUT_MS,
          priority: LOWEST_PRIORITY,
          placement: 'hub',
          cache: 'bypass',
          maxStalenessMs: undefined,
          parameters: {},
        },
        signal,
      );
    } catch (cause) {
      const code = cause instanceof ServingError ? REFUSALS[cause.code] : undefined;
      if (code === undefined) throw cause;
      throw new DataError(code, `${asked.model}@${asked.version}: ${(cause as ServingError).message}`, { cause });
    }
  }
}

/** What the serving side's refusals mean here; others are the hub's own fault. */
const REFUSALS: Partial<Record<ServingErrorCode, DataErrorCode>> = {
  'invalid-argument': 'invalid',
  'too-large': 'invalid',
  'not-found': 'conflict',
  'deadline-exceeded': 'busy',
  'would-miss-deadline': 'busy',
  'queue-full': 'busy',
  'rate-limited': 'busy',
  'not-ready': 'busy',
};

// Answers to similar inputs, where model.yaml asks for it (`cache.semantic`): an input whose embedding is near that of one that was answered
// gets that answer, and the answer says so. It is no exact cache and never feeds one. How often it is wrong is measured: a share of its
// hits is computed anyway and compared, shown, and ends it for this variant where it passes the bound.
//
// Bounded by entries a model and by bytes in all; entries belong to a variant, to the outputs, parameters and tags that were asked for, and
// are dropped as answers are.
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { float32Of, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import type { ModelYaml } from '@tidegate/shared/wire/model-yaml.js';
import {
  isSelected,
  type CachedAnswer,
  type CacheLabels,
  type CacheLayerCounts,
  type CacheSelection,
} from '@tidegate/shared/cache/cache-layer.js';
import { RecentEmbeddings } from './recent-embeddings.js';
import { SemanticTrust } from './semantic-trust.js';

type SemanticOptions = NonNullable<ModelYaml['cache']['semantic']>;

export interface SemanticQuestion {
  readonly labels: CacheLabels;
  readonly variantDigest: string;
  readonly outputs: readonly string[];
  readonly parameters: Readonly<Record<string, string | number | boolean>>;
  readonly options: SemanticOptions;
  /** The output that audits compare. */
  readonly compare: string;
  readonly maxAgeMs: number;
}

export interface SemanticHit {
  readonly answer: CachedAnswer;
  readonly ageMs: number;
  readonly distance: number;
  /** To be computed anyway, and told to `audited`. */
  readonly audit: boolean;
}

interface SemanticReport {
  readonly model: string;
  readonly entries: number;
  readonly hits: number;
  readonly misses: number;
  readonly audits: number;
  readonly disagreements: number;
  /** Share of the audits of late that disagreed. */
  readonly disagreementRate: number;
  /** Ended by itself: it disagreed too often. */
  readonly off: boolean;
}

interface Kept {
  readonly bucket: string;
  readonly labels: CacheLabels;
  readonly answer: CachedAnswer;
  readonly computedMs: number;
  readonly sizeBytes: number;
}

interface ModelState {
  readonly variantDigest: string;
  readonly index: RecentEmbeddings<Kept>;
  readonly trust: SemanticTrust;
  hits: number;
  misses: number;
}

const ENTRY_OVERHEAD_BYTES = 700;
const LIMIT_MODELS = 64;

export class SemanticLayer {
  readonly name = 'semantic';
  readonly #limitBytes: number;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #models = new Map<string, ModelState>();
  #sizeBytes = 0;
  #counts = { hits: 0, misses: 0, stale: 0, stores: 0, evictions: 0, audits: 0, disagreements: 0 };

  constructor(options: { readonly limitBytes: number }, modules: { readonly clock: Clock; readonly log: Log }) {
    this.#limitBytes = options.limitBytes;
    this.#clock = modules.clock;
    this.#log = modules.log;
  }

  /** False where it has ended for this variant: the embedding is not worth computing then. */
  isOn(question: SemanticQuestion): boolean {
    return this.#stateOf(question)?.trust.isOff === false;
  }

  get(question: SemanticQuestion, embedding: NamedTensor): SemanticHit | undefined {
    const state = this.#stateOf(question);
    if (state === undefined) return undefined;
    const nowMs = this.#clock.monotonicMs();
    const bucket = bucketOf(question, embedding);
    const fits = (kept: Kept): boolean => kept.bucket === bucket && nowMs - kept.computedMs <= question.maxAgeMs;
    const near = state.index.nearest(float32Of(embedding), question.options.threshold, fits);
    state[near === undefined ? 'misses' : 'hits'] += 1;
    this.#counts[near === undefined ? 'misses' : 'hits'] += 1;
    if (near === undefined) return undefined;
    const { answer, computedMs } = near.value;
    return { answer, ageMs: nowMs - computedMs, distance: near.distance, audit: state.trust.audits() };
  }

  put(question: SemanticQuestion, embedding: NamedTensor, answer: CachedAnswer): void {
    const state = this.#stateOf(question);
    const outputs = answer.outputs.map((output) => ({ ...output, data: new Uint8Array(output.data) }));
    const vectorBytes = embedding.data.byteLength + ENTRY_OVERHEAD_BYTES;
    const sizeBytes = outputs.reduce((sum, { data }) => sum + data.byteLength, vectorBytes);
    if (state === undefined) return;
    while (state.index.isFull || this.#sizeBytes + sizeBytes > this.#limitBytes) {
      const gone = state.index.removeOldest();
      if (gone === undefined) return; // the other models have the room
      this.#sizeBytes -= gone.sizeBytes;
      this.#counts.evictions += 1;
    }
    const kept: Kept = {
      bucket: bucketOf(question, embedding),
      labels: question.labels,
      answer: { ...answer, outputs },
      computedMs: this.#clock.monotonicMs(),
      sizeBytes,
    };
    if (!state.index.add(float32Of(embedding), kept)) return;
    this.#sizeBytes += sizeBytes;
    this.#counts.stores += 1;
  }

  /** What an audit found: the answer that would have been given, and the one that was computed. */
  audited(question: SemanticQuestion, similar: CachedAnswer, computed: CachedAnswer): void {
    const state = this.#stateOf(question);
    const { compare, options, labels } = question;
    const of = ({ outputs }: CachedAnswer): NamedTensor | undefined => outputs.find(({ name }) => name === compare);
    const [one, other] = [of(similar), of(computed)];
    if (state === undefined || one === undefined || other === undefined) return; // this request did not ask for it
    const agreed = saysTheSame(one, other, options.tolerance);
    this.#counts.audits += 1;
    if (!agreed) this.#counts.disagreements += 1;
    if (!state.trust.audited(agreed)) return;
    const rate = state.trust.rate;
    this.#log.warn(
      { model: labels.model, rate, allowed: options.maxDisagreement },
      'answers to similar inputs disagree too often: the semantic cache of this model is off',
    );
  }

  /** Of a model as a whole it forgets the disagreements too: an operator gives it another try. */
  drop(selection: CacheSelection): void {
    for (const [model, state] of this.#models) {
      for (const kept of state.index.values) if (isSelected(kept.labels, selection)) this.#sizeBytes -= kept.sizeBytes;
      state.index.removeWhere(({ labels }) => isSelected(labels, selection));
      if (isSelected({ model, tags: [] }, selection)) this.#models.delete(model);
    }
  }

  get counts(): CacheLayerCounts {
    const entries = [...this.#models.values()].reduce((sum, { index }) => sum + index.values.length, 0);
    return { ...this.#counts, entries, sizeBytes: this.#sizeBytes, limitBytes: this.#limitBytes };
  }

  report(): readonly SemanticReport[] {
    return [...this.#models].map(([model, { index, trust, hits, misses }]) => ({
      model,
      entries: index.values.length,
      hits,
      misses,
      ...trust.counts,
      disagreementRate: trust.rate,
      off: trust.isOff,
    }));
  }

  /** A new variant begins anew, and so does another threshold that came with it. */
  #stateOf({ labels: { model }, variantDigest, options }: SemanticQuestion): ModelState | undefined {
    const before = this.#models.get(model);
    if (before?.variantDigest === variantDigest) return before;
    if (before !== undefined) this.drop({ model });
    if (this.#models.size >= LIMIT_MODELS) return undefined;
    const index = new RecentEmbeddings<Kept>({ distance: options.distance, entriesMax: options.entries });
    const state = { variantDigest, index, trust: new SemanticTrust(options), hits: 0, misses: 0 };
    this.#models.set(model, state);
    return state;
  }
}

function bucketOf({ labels, outputs, parameters }: SemanticQuestion, { shape }: NamedTensor): string {
  const given = Object.entries(parameters).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([outputs, given, [...labels.tags].sort(), shape]);
}

/** Within `tolerance` in each element; without one the same largest element (FP32), or the same bytes (all else). */
function saysTheSame(one: NamedTensor, other: NamedTensor, tolerance: number | undefined): boolean {
  if (one.datatype !== 'FP32' || other.datatype !== 'FP32') return Buffer.compare(one.data, other.data) === 0;
  const [values, others] = [float32Of(one), float32Of(other)];
  if (values.length !== others.length) return false;
  if (tolerance !== undefined) return values.every((value, at) => Math.abs(value - others[at]!) <= tolerance);
  return values.indexOf(Math.max(...values)) === others.indexOf(Math.max(...others));
}

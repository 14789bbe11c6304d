// The hub as an inference service: the newest ready version, or the one asked for, in its fp32 variant, loaded when it is first asked
// for. Heavier than a device where the package says how (`heavy`: several readings, the most confident is kept). Answers are kept and
// given again (kept-answers.ts).
import type { CacheOutcome } from '@tidegate/shared/cache/answer-cache.js';
import { hasState } from '@tidegate/shared/package/graph-state.js';
import type {
  InferAnswer,
  InferenceService,
  InferRequest,
  ModelDetails,
  ModelMetadata,
  ModelState,
  SequenceAsked,
} from '@tidegate/shared/serving/inference-service.js';
import { SequencePlaces } from '@tidegate/shared/serving/sequence-places.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import type { TensorSpec } from '@tidegate/shared/tensor/tensor.js';
import type { Catalogue, CatalogueEntry } from './catalogue.js';
import type { KeptAnswers } from './kept-answers.js';
import type { KnownModels } from './known-models.js';

interface HubInferenceModules {
  readonly catalogue: Catalogue;
  readonly models: KnownModels;
  readonly kept: KeptAnswers;
}

export class HubInference implements InferenceService {
  readonly #modules: HubInferenceModules;
  /** The version that a sequence began with. */
  readonly #homes = new SequencePlaces<CatalogueEntry>();
  #open = true;

  constructor(modules: HubInferenceModules) {
    this.#modules = modules;
  }

  ready(): boolean {
    return this.#open;
  }

  metadata(model: string, version: string | undefined): ModelMetadata {
    const { yaml } = this.#find(model, version);
    return {
      name: model,
      versions: this.#modules.catalogue.versions(model).map(String),
      platform: 'onnxruntime_onnx',
      inputs: yaml.inputs as readonly TensorSpec[],
      outputs: yaml.outputs as readonly TensorSpec[],
      ...(yaml.pipeline.length > 1 && { inner: 'unread' }),
    };
  }

  /** A version that isn't loaded is ready all the same: the first request loads it. */
  modelReady(model: string, version: string | undefined): boolean {
    return this.#open && this.#modules.catalogue.find(model, version) !== undefined;
  }

  models(): readonly ModelState[] {
    const { catalogue } = this.#modules;
    return catalogue
      .names()
      .flatMap((name) => catalogue.versions(name).map((version) => ({ name, version: String(version), ready: true })));
  }

  details(model: string, version: string | undefined): ModelDetails {
    const entry = this.#find(model, version);
    const { yaml, variant, labels } = entry;
    const metadata = this.metadata(model, version);
    return {
      metadata,
      version: String(variant.version),
      batchRowsMax: hasState(yaml) ? 1 : yaml.batching.maxRows,
      cached: this.#modules.kept.keeps(entry),
      instances: [],
      labels,
      ...(hasState(yaml) ? { sequences: { idleTimeoutMs: yaml.sequences.idleTimeoutMs, state: [] } } : {}),
    };
  }

  /** No front of the hub has connections with sequences of their own: they are their callers'. */
  endSequences(): void {}

  load(): Promise<never> {
    return registryDecides();
  }

  unload(): Promise<never> {
    return registryDecides();
  }

  async infer(request: InferRequest, signal: AbortSignal): Promise<InferAnswer> {
    if (!this.#open) throw new ServingError('not-ready', 'the hub stops');
    if (this.#modules.catalogue.find(request.model, request.version) === undefined) {
      await this.#modules.catalogue.refresh();
    }
    const sequence = ofCaller(request);
    const begun = this.#homes.get(request.model, sequence);
    const goesOn = begun !== undefined && [undefined, String(begun.variant.version)].includes(request.version);
    const entry = goesOn ? begun : this.#find(request.model, request.version);
    if (hasState(entry.yaml)) this.#homes.goes(request.model, sequence, entry);
    const asked = sequence === undefined ? request : { ...request, sequence };
    const outcome = await this.#modules.kept.answer(entry, asked, signal);
    return answerOf(request, outcome, readingsOf(entry, request));
  }

  async close(): Promise<void> {
    this.#open = false;
    await this.#modules.models.closeAll();
  }

  #find(model: string, version: string | undefined): CatalogueEntry {
    const entry = this.#modules.catalogue.find(model, version);
    if (entry !== undefined) return entry;
    const text =
      version === undefined
        ? `the hub has no ready version of a model ${model}`
        : `the hub has no ready version ${version} of a model ${model}`;
    throw new ServingError('not-found', text, { field: version === undefined ? 'model' : 'version' });
  }
}

function answerOf({ model }: InferRequest, outcome: CacheOutcome, readings: number): InferAnswer {
  const { answer, layer, ageMs = 0, stale, queueUs, computeUs, ranOn, unshared = false } = outcome;
  const { version, outputs, modelDigest, variant, variantDigest, confidence } = answer;
  const how = readings > 1 ? `the most confident of ${readings} readings on the hub` : 'answered on the hub';
  const kept = `${how} ${Math.round(ageMs)} ms ago, kept in its ${layer} cache${stale ? ', past its time' : ''}`;
  return {
    model,
    version,
    outputs,
    unshared,
    provenance: {
      placement: layer === undefined ? 'hub' : 'cache',
      reason: layer === undefined ? how : kept,
      ...{ modelDigest, variant, variantDigest, queueUs, computeUs },
      ...(ranOn === undefined ? {} : { ranOn }),
      ...(layer === undefined ? {} : { cacheLayer: layer, cacheAgeMs: ageMs }),
      ...(stale ? { cacheStale: true } : {}),
      ...(confidence === undefined ? {} : { confidence }),
    },
  };
}

function registryDecides(): Promise<never> {
  const text = 'the hub serves every version of its registry and loads it when it is asked: publish one instead';
  return Promise.reject(new ServingError('forbidden', text, { field: 'model' }));
}

/** Two callers may number their sequences alike: each has its own. */
function ofCaller({ sequence, caller = '' }: InferRequest): SequenceAsked | undefined {
  return sequence && { ...sequence, scope: encodeURIComponent(caller) };
}

/** How many ways the package is read in for this request: a caller that enters behind the pipeline's beginning gets one. */
function readingsOf({ yaml }: CatalogueEntry, { inputs }: InferRequest): number {
  const fromTheBeginning = inputs.every(({ name }) => yaml.inputs.some((input) => input.name === name));
  return fromTheBeginning ? (yaml.heavy?.vary.values.length ?? 1) : 1;
}

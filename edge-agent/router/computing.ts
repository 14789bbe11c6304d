// What happens when no layer on the device had the answer: the hub is asked for one that other devices agreed on, where the model's
// package shares answers and that can pay; then the device computes, with the stages that were kept and, where the package asks for it, answers to similar inputs. A request that says `placement: local`
// keeps even the hash of its input here.
import type { InferRequest } from '@tidegate/shared/serving/inference-service.js';
import type { KeptStages } from '@tidegate/shared/serving/kept-stages.js';
import { choiceText, type ChoiceFacts } from '@tidegate/shared/serving/choice-facts.js';
import type { RunFacts } from '@tidegate/shared/serving/evaluate-request.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { ComputedAnswer, FlightContext } from '@tidegate/shared/cache/answer-cache.js';
import type { DeviceCache } from '../cache/device-cache.js';
import type { SharedLayer, SharedQuestion } from '../cache/shared-layer.js';
import type { Lease, ResidencyAsk } from '@tidegate/shared/residency/residency.js';
import type { PrivacyDecisions } from '../privacy/privacy-decisions.js';
import type { RequestTrail } from './request-trail.js';
import { SimilarAnswers } from './similar-answers.js';

/** Models that may have to be loaded first. */
export interface HeldModels {
  /** Keeps the model in memory until the lease is given back. Rejects with ServingError `not-ready` where it can't be there in time. */
  hold(model: ServedModel, ask: ResidencyAsk, signal: AbortSignal): Lease | Promise<Lease>;
}

/** What is to be computed, and who else could answer it: as ResidencyAsk. */
type Asked = FlightContext & Pick<ResidencyAsk, 'elsewhereMs'>;

interface RunOptions extends Partial<Pick<ResidencyAsk, 'elsewhereMs'>> {
  /** As ServedModel.infer has it. */
  readonly goesOn?: boolean;
}

interface ComputingModules {
  readonly models: HeldModels;
  readonly cache: Pick<DeviceCache, 'stages' | 'semantic'>;
  /** Undefined where there is no hub to share with. */
  readonly shared: SharedLayer | undefined;
  readonly privacy: Pick<PrivacyDecisions, 'ask'>;
  readonly clock: Clock;
}

export class Computing {
  readonly #modules: ComputingModules;
  readonly #similar: SimilarAnswers | undefined;

  constructor(modules: ComputingModules) {
    this.#modules = modules;
    this.#similar = modules.cache.semantic && new SimilarAnswers(modules.cache.semantic);
  }

  /** `trail`: undefined for a renewal, which nobody waits for. Rejects as HeldModels.hold and ServedModel.infer. */
  async answer(
    request: InferRequest,
    model: ServedModel,
    flight: Asked,
    trail: RequestTrail | undefined,
    signal: AbortSignal,
  ): Promise<ComputedAnswer> {
    const { shared, clock } = this.#modules;
    const { key, renewal } = flight;
    const question = key === undefined ? undefined : this.#sharedQuestion(request, model, key);
    if (shared === undefined || question === undefined) return this.#onDevice(request, model, flight, trail, signal);
    const asks = request.cache === 'use' && renewal === undefined;
    const asking = asks ? trail?.span?.child('shared cache', { kind: 'client' }) : undefined;
    const hit = asks ? await shared.get(question, signal) : undefined;
    asking?.end({ attributes: { 'tidegate.cache.result': hit === undefined ? 'miss' : 'hit' } });
    if (hit !== undefined) {
      trail?.note('not computed: devices of this hub agree on the answer');
      return { ...hit.answer, queueUs: 0, computeUs: 0, from: { layer: 'hub', ageMs: hit.ageMs } };
    }
    trail?.note('no answer of other devices is taken');
    const startedMs = clock.monotonicMs();
    try {
      const computed = await this.#onDevice(request, model, flight, trail, signal);
      if (computed.from === undefined) shared.computed(question, computed, clock.monotonicMs() - startedMs);
      else shared.failed(question);
      return computed;
    } catch (error) {
      shared.failed(question);
      throw error;
    }
  }

  /** By the answer to a similar input where the package asks for that, else by computing. */
  #onDevice(
    request: InferRequest,
    model: ServedModel,
    { renewal, elsewhereMs }: Asked,
    trail: RequestTrail | undefined,
    signal: AbortSignal,
  ): Promise<ComputedAnswer> {
    const run = async (
      inputs: readonly NamedTensor[],
      outputs: readonly string[],
      goesOn = false,
    ): Promise<ComputedAnswer> => {
      const asked = { ...request, inputs, outputs };
      const { unshared: _kept, ...answer } = await this.run(asked, model, trail, signal, { elsewhereMs, goesOn });
      return answer;
    };
    if (model.yaml.cache.semantic === undefined || this.#similar === undefined || renewal !== undefined)
      return this.run(request, model, trail, signal, { elsewhereMs });
    return this.#similar.answer(request, model, run, trail);
  }

  /** Runs the pipeline from the request's inputs to its outputs, as far as stages are not kept. */
  async run(
    request: InferRequest,
    model: ServedModel,
    trail: RequestTrail | undefined,
    signal: AbortSignal,
    { elsewhereMs, goesOn = false }: RunOptions = {},
  ): Promise<ComputedAnswer> {
    const { inputs, outputs, deadlineMs, priority, caller, sequence, trace } = request;
    const { version, versionDigest, variant, variantDigest } = model.identity;
    const onRun = (run: RunFacts): void => trail?.ran(run);
    const onChoice = (choice: ChoiceFacts): void => trail?.note(choiceText(choice));
    const stages = this.#stages(request, model, trail);
    let lease = this.#modules.models.hold(model, { deadlineMs, elsewhereMs }, signal);
    if (typeof lease !== 'function') {
      trail?.note('the model is not in memory');
      const loading = trail?.span?.child('load');
      lease = await lease.finally(() => loading?.end());
      trail?.note('the model was loaded again');
    }
    try {
      const work = { inputs, outputs, deadlineMs, priority, caller, sequence, trace, goesOn, onRun, onChoice, stages };
      const answer = await model.infer(work, signal);
      return { answeredBy: 'edge', version, modelDigest: versionDigest, variant, variantDigest, ...answer };
    } finally {
      lease();
    }
  }

  #sharedQuestion(request: InferRequest, model: ServedModel, key: string): SharedQuestion | undefined {
    const { yaml, identity, provider, graphs } = model;
    if (this.#modules.shared === undefined || yaml.privacy.answers !== 'hub' || request.placement === 'local')
      return undefined;
    if (!this.#modules.privacy.ask(request.model, 'answers', yaml.privacy).allowed) return undefined;
    const engines = graphs.map(({ engine, engineVersion }) => `${engine} ${engineVersion}`);
    return {
      key,
      labels: { model: request.model, tags: request.cacheTags ?? [] },
      variantDigest: identity.variantDigest,
      runsAs: [provider.runs, ...new Set(engines)].join(', '),
      maxAgeMs: Math.min(yaml.cache.ttlMs, request.maxStalenessMs ?? Infinity),
      deadlineMs: request.deadlineMs,
    };
  }

  #stages(request: InferRequest, { yaml }: ServedModel, trail: RequestTrail | undefined): KeptStages | undefined {
    const { enabled, ttlMs, stages } = yaml.cache;
    if (!enabled || stages.length === 0 || request.cache === 'bypass') return undefined;
    const maxAgeMs = request.cache === 'refresh' ? 0 : Math.min(ttlMs, request.maxStalenessMs ?? Infinity);
    const onHit = (graph: string): void => trail?.note(`${graph}: not run, its outputs for this input were kept`);
    return this.#modules.cache.stages?.of({ model: request.model, tags: request.cacheTags ?? [] }, { maxAgeMs, onHit });
  }
}

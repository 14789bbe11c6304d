// The agent's inference service: every request is answered from the cache, on the device, or by the hub, and says which and
// why. A thin shell: place.ts decides, the cache, the model's scheduler and the hub's answers (hub-answers.ts) act, and every
// step is noted for `explain` and told to telemetry.
import type {
  InferAnswer,
  InferenceService,
  InferRequest,
  ModelDetails,
  ModelMetadata,
  ModelState,
  RequestHead,
  SequenceAsked,
} from '@tidegate/shared/serving/inference-service.js';
import { SequencePlaces } from '@tidegate/shared/serving/sequence-places.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { CacheOutcome, ComputedAnswer } from '@tidegate/shared/cache/answer-cache.js';
import type { DeviceCache } from '../cache/device-cache.js';
import type { SharedLayer } from '../cache/shared-layer.js';
import type { PrivacyDecisions } from '../privacy/privacy-decisions.js';
import type { AnswerObserver } from '../telemetry/answer-observer.js';
import { Computing, type HeldModels } from './computing.js';
import type { Explanations } from './explanations.js';
import { HubAnswers } from './hub-answers.js';
import type { HubClient } from './hub-client.js';
import { KeptAnswers } from './kept-answers.js';
import type { ModelControl } from './model-control.js';
import { onlyRunsHere } from './only-runs-here.js';
import { answerers, maySplit, place, type PlaceView, type RescueView } from './place.js';
import { answerOf, whyComputed } from './provenance.js';
import { RequestTrail, type RequestEnd } from './request-trail.js';
import { Splitting, type SplitPlan } from './splitting.js';

export interface ServingModels extends HeldModels {
  /** The model that answers now under this name. */
  serving(name: string, sequence?: SequenceAsked): ServedModel | undefined;
  endSequences(scope: string): void;
  names(): readonly string[];
  inMemory(model: ServedModel): boolean;
}

interface RouterModules {
  readonly models: ServingModels;
  readonly control: ModelControl;
  readonly cache: DeviceCache;
  readonly shared: SharedLayer | undefined;
  readonly hub: HubClient | undefined;
  /** The device's models are the hub's, and so are the names of their versions. */
  readonly hubVersions: boolean;
  readonly observers: readonly AnswerObserver[];
  readonly onEnd: (end: RequestEnd) => void;
  readonly explanations: Explanations;
  readonly privacy: Pick<PrivacyDecisions, 'ask'>;
  readonly clock: Clock;
  /** False while the first models load and while draining. */
  readonly accepting: () => boolean;
}

/** Troubles of the device for which the hub may answer instead. */
const RESCUED = new Set<string>([
  'would-miss-deadline',
  'queue-full',
  'failed',
  'not-ready',
] satisfies RescueView['trouble'][]);

const STARTING = 'the model is not on this device so far, which is still starting';

export class Router implements InferenceService {
  readonly #modules: RouterModules;
  /** Sequences that the hub answers. */
  readonly #atHub = new SequencePlaces<'hub'>();
  readonly #kept: KeptAnswers;
  readonly #hubAnswers: HubAnswers;
  readonly #computing: Computing;
  /** Undefined where there is no hub. */
  readonly #splitting: Splitting | undefined;

  constructor(modules: RouterModules) {
    this.#modules = modules;
    const { hub, clock } = modules;
    this.#kept = new KeptAnswers(modules);
    this.#hubAnswers = new HubAnswers({ ...modules, kept: this.#kept });
    this.#computing = new Computing(modules);
    this.#splitting = hub && new Splitting({ computing: this.#computing, hub, clock });
  }

  ready(): boolean {
    return this.#modules.accepting();
  }

  metadata(name: string, version: string | undefined): ModelMetadata {
    const model = this.#local(name, version);
    if (model === undefined) throw notFound(name, version);
    return model.metadata;
  }

  /** Only of models whose inputs may go to the hub. */
  async metadataElsewhere(name: string, version: string | undefined, signal: AbortSignal): Promise<ModelMetadata> {
    const { hub, privacy } = this.#modules;
    const { allowed, rule } = privacy.ask(name, 'fallback');
    if (hub === undefined || !allowed) throw notFound(name, version, hub && rule);
    return hub.metadata(name, version, signal);
  }

  modelReady(name: string, version: string | undefined): boolean {
    const model = this.#local(name, version);
    return this.#modules.accepting() && model !== undefined && model.quarantine === undefined;
  }

  models(): readonly ModelState[] {
    const { models, control, accepting } = this.#modules;
    const loaded = models.names().flatMap((name) => {
      const model = models.serving(name);
      if (model === undefined) return [];
      const { version } = model.identity;
      if (model.quarantine !== undefined) return [{ name, version, ready: false, reason: 'in quarantine' }];
      return [{ name, version, ready: accepting() }];
    });
    return [...loaded, ...control.unloaded()];
  }

  details(name: string, version: string | undefined): ModelDetails {
    const model = this.#local(name, version);
    if (model === undefined) throw notFound(name, version);
    return model.details;
  }

  load(model: string, signal: AbortSignal): Promise<void> {
    return this.#modules.control.load(model, signal);
  }

  unload(model: string): Promise<void> {
    return this.#modules.control.unload(model);
  }

  endSequences(scope: string): void {
    this.#modules.models.endSequences(scope);
  }

  refuseUnread(
    name: string,
    version: string | undefined,
    deadlineMs: number,
    head: () => RequestHead,
  ): ServingError | undefined {
    const model = this.#local(name, version);
    if (model?.crowded(deadlineMs) !== true) return undefined;
    const request = head();
    const { models, cache, hub } = this.#modules;
    const sure = onlyRunsHere(request, model, {
      inMemory: models.inMemory(model),
      aside: cache.isAside(name),
      hubMayAnswer: hub !== undefined && this.#hubAnswers.elsewhereMs(this.#view(request, model, false)) !== undefined,
    });
    const refusal = sure ? model.refusal(request) : undefined;
    if (refusal === undefined) return undefined;
    const trail = new RequestTrail(request, this.#modules);
    trail.model = model;
    trail.note('refused by what its head says: its body was not read');
    trail.refused(refusal);
    return refusal;
  }

  async infer(request: InferRequest, signal: AbortSignal): Promise<InferAnswer> {
    const trail = new RequestTrail(request, this.#modules);
    try {
      const answer = await this.#answer(request, trail, signal);
      trail.answered(answer);
      return answer;
    } catch (error) {
      trail.refused(error);
      throw error;
    }
  }

  async #answer(request: InferRequest, trail: RequestTrail, signal: AbortSignal): Promise<InferAnswer> {
    const model = this.#local(request.model, request.version, request.sequence);
    trail.model = model;
    const plan = model && this.#splitting?.plan(request, model);
    const view = this.#view(request, model, plan !== undefined);
    const decision = place(view);
    if (decision.place === 'refuse') {
      if (decision.code === 'not-found') throw notFound(request.model, request.version, decision.reason);
      throw new ServingError(
        decision.code,
        decision.reason,
        decision.code === 'forbidden' ? { field: 'placement' } : {},
      );
    }
    if (decision.place === 'hub' || model === undefined) {
      this.#atHub.goes(request.model, request.sequence, 'hub');
      const reason = decision.place === 'hub' ? decision.reason : '';
      trail.note(`asking the hub: ${reason}`);
      const remainingMs = request.deadlineMs - this.#modules.clock.monotonicMs();
      return this.#hubAnswers.ask(request, model, reason, remainingMs, trail, signal);
    }
    if (request.sequence !== undefined) this.#atHub.forget(request.model, request.sequence);
    trail.note(`here: the model is on the device${request.placement === 'local' ? ', and placement local' : ''}`);
    return this.#answerHere(request, model, view, plan, trail, signal);
  }

  async #answerHere(
    request: InferRequest,
    model: ServedModel,
    view: PlaceView,
    plan: SplitPlan | undefined,
    trail: RequestTrail,
    signal: AbortSignal,
  ): Promise<InferAnswer> {
    let outcome: CacheOutcome;
    let computed: ComputedAnswer | undefined;
    /** The policy may have become stricter while the device tried. */
    const now = (): PlaceView => ({
      ...view,
      privacy: this.#modules.privacy.ask(request.model, 'fallback', model.yaml.privacy),
    });
    try {
      const splits = plan !== undefined && maySplit(view) ? this.#splitting : undefined;
      const [first, second] = answerers(request, splits && plan && splits.keptAs(plan));
      outcome = await this.#kept.answer(request, model, first, signal, second, async (asked, flight, inner) => {
        if (flight.renewal !== undefined)
          return { ...(await this.#computing.answer(asked, model, flight, undefined, inner)), keptAs: 'edge' };
        trail.note(whyComputed(request, model));
        const elsewhereMs = (): number | undefined => this.#hubAnswers.elsewhereMs(now());
        const whole = (ended: AbortSignal): Promise<ComputedAnswer> =>
          this.#computing.answer(request, model, { ...flight, elsewhereMs }, trail, ended);
        const answer = await (plan === undefined || splits === undefined || !maySplit(now())
          ? whole(inner)
          : splits.answer(plan, whole, trail, inner));
        if (answer.from === undefined) computed = answer;
        return answer;
      });
    } catch (error) {
      if (!(error instanceof ServingError) || !RESCUED.has(error.code)) throw error;
      const trouble = error.code as RescueView['trouble'];
      trail.note(`the device: ${error.message}`);
      return this.#hubAnswers.insteadOf(
        request,
        model,
        { ...now(), trouble, detail: error.message },
        error,
        trail,
        signal,
      );
    }
    const local = answerOf(request, outcome);
    if (outcome.aside) trail.note('the cache stands aside: for this model it costs more than it saves');
    if (computed === undefined && outcome.layer === undefined)
      trail.note('waited for an equal request, and took its answer');
    trail.note(local.provenance.reason);
    const { confidence } = outcome.answer;
    const here = outcome.layer === undefined && outcome.answer.answeredBy === 'edge';
    trail.edgeConfidence = here ? confidence : undefined;
    if (computed?.answeredBy === 'edge' && !model.stateful)
      trail.own = { yaml: model.yaml, outputs: computed.outputs, confidence };
    const threshold = model.yaml.confidence?.threshold ?? 0;
    if (confidence === undefined || confidence >= threshold)
      return outcome.unshared === true && plan === undefined && !this.#maySample(model)
        ? { unshared: true, ...local }
        : local;
    const detail = `confidence ${confidence.toFixed(2)} under ${threshold.toFixed(2)}`;
    return this.#hubAnswers.betterThan(
      request,
      model,
      { ...now(), trouble: 'low-confidence', detail },
      local,
      trail,
      signal,
    );
  }

  #whyAbsent({ model, version }: InferRequest): string | undefined {
    const { accepting, control } = this.#modules;
    return control.whyAbsent(model, version) ?? (accepting() ? undefined : STARTING);
  }

  #view(request: InferRequest, model: ServedModel | undefined, canSplit: boolean): PlaceView {
    const { privacy, hub } = this.#modules;
    return {
      asked: request.placement,
      modelOnDevice: model !== undefined,
      whyAbsent: model ? undefined : this.#whyAbsent(request),
      stateful: model?.stateful ?? false,
      begun: this.#begun(request, model),
      canSplit,
      privacy: privacy.ask(request.model, 'fallback'),
      hub: hub?.state ?? 'none',
    };
  }

  /** May inputs and outputs of this model be kept after the answer? */
  #maySample({ yaml }: ServedModel): boolean {
    return this.#modules.observers.length > 0 && yaml.privacy.capture === 'hub';
  }

  #begun({ model: name, sequence }: InferRequest, model: ServedModel | undefined): PlaceView['begun'] {
    if (sequence === undefined || sequence.start) return undefined;
    return this.#atHub.get(name, sequence) ?? (model?.holds(sequence) === true ? 'here' : undefined);
  }

  #local(name: string, version: string | undefined, sequence?: SequenceAsked): ServedModel | undefined {
    const model = this.#modules.models.serving(name, sequence);
    return version === undefined || model?.identity.version === version ? model : undefined;
  }
}

function notFound(name: string, version: string | undefined, why?: string): ServingError {
  const what = version === undefined ? `model '${name}'` : `model '${name}' version ${version}`;
  return new ServingError('not-found', `${what}: ${why ?? 'not on this device'}`, { field: 'model' });
}

// An inference service whose requests are counted (inference-statistics.ts). It stands between every protocol front and the
// service, so that a request counts once, whichever protocol it came by. Requests for models that the service does not have
// are not counted: callers can't make up names.
import type { Clock } from '../system/clock.js';
import { ifHere } from './if-here.js';
import type {
  InferAnswer,
  InferenceService,
  InferRequest,
  ModelDetails,
  ModelMetadata,
  ModelState,
  RequestHead,
  Placement,
} from './inference-service.js';
import type { InferenceEnd, InferenceStatistics, ModelStatistics } from './inference-statistics.js';
import { maxBatchSizeOf } from './model-config.js';
import type { ServingError } from './serving-error.js';

type WholeService = InferenceService & Required<Pick<InferenceService, 'models' | 'details' | 'load' | 'unload'>>;

interface CountedServiceModules {
  readonly statistics: InferenceStatistics;
  /** What this service calls its own computing: `edge` on a device, `hub` on the hub. */
  readonly own: Placement;
  readonly clock: Clock;
}

export class CountedService implements WholeService {
  readonly #service: WholeService;
  readonly #modules: CountedServiceModules;
  /** Absent where the service keeps no state. */
  readonly endSequences?: (scope: string) => void;
  /** Absent where the service asks nobody. */
  readonly metadataElsewhere?: NonNullable<InferenceService['metadataElsewhere']>;

  constructor(service: WholeService, modules: CountedServiceModules) {
    this.#service = service;
    this.#modules = modules;
    if (service.metadataElsewhere !== undefined) this.metadataElsewhere = service.metadataElsewhere.bind(service);
    if (service.endSequences !== undefined) this.endSequences = (scope) => service.endSequences?.(scope);
  }

  ready(): boolean {
    return this.#service.ready();
  }

  metadata(model: string, version: string | undefined): ModelMetadata {
    return this.#service.metadata(model, version);
  }

  modelReady(model: string, version: string | undefined): boolean {
    return this.#service.modelReady(model, version);
  }

  models(): readonly ModelState[] {
    return this.#service.models();
  }

  details(model: string, version: string | undefined): ModelDetails {
    return this.#service.details(model, version);
  }

  load(model: string, signal: AbortSignal): Promise<void> {
    return this.#service.load(model, signal);
  }

  unload(model: string): Promise<void> {
    return this.#service.unload(model);
  }

  statistics(): readonly ModelStatistics[] {
    return this.#service
      .models()
      .filter(({ ready }) => ready)
      .map(({ name, version }) => this.#modules.statistics.of(name, version));
  }

  refuseUnread(
    model: string,
    version: string | undefined,
    deadlineMs: number,
    head: () => RequestHead,
  ): ServingError | undefined {
    let request: InferRequest | undefined;
    const beganMs = this.#modules.clock.monotonicMs();
    const refusal = this.#service.refuseUnread?.(model, version, deadlineMs, () => (request = head()));
    if (refusal !== undefined && request !== undefined) this.#count(request, undefined, beganMs);
    return refusal;
  }

  async infer(request: InferRequest, signal: AbortSignal): Promise<InferAnswer> {
    const beganMs = this.#modules.clock.monotonicMs();
    try {
      const answer = await this.#service.infer(request, signal);
      this.#count(request, answer, beganMs);
      return answer;
    } catch (error) {
      this.#count(request, undefined, beganMs);
      throw error;
    }
  }

  #count(request: InferRequest, answer: InferAnswer | undefined, beganMs: number): void {
    const { statistics, clock } = this.#modules;
    const details = ifHere(() => this.#service.details(request.model, answer?.version ?? request.version));
    if (details === undefined) return;
    const { queueUs = 0, computeUs = 0 } = answer?.provenance ?? {};
    const outcome = this.#outcomeOf(answer);
    statistics.ended(request.model, answer?.version ?? details.version, {
      outcome,
      rows: maxBatchSizeOf(details) > 0 ? (request.inputs[0]?.shape[0] ?? 1) : 1,
      totalUs: (clock.monotonicMs() - beganMs) * 1000,
      queueUs,
      computeUs,
      missed: details.cached && request.cache === 'use',
      atMs: clock.nowMs(),
    });
  }

  #outcomeOf(answer: InferAnswer | undefined): InferenceEnd['outcome'] {
    if (answer === undefined) return 'failed';
    const { placement } = answer.provenance;
    if (placement === 'cache') return 'cached';
    return placement === this.#modules.own ? 'computed' : 'elsewhere';
  }
}

// The cache as the router asks it: what the package lets be kept and the request lets be taken, under a span of its own, and
// stale answers renewed only where nobody is kept waiting by it.
import type { AnsweredBy } from '@tidegate/shared/cache/cache-key.js';
import type { CacheOutcome, ComputedAnswer, FlightContext } from '@tidegate/shared/cache/answer-cache.js';
import type { InferRequest } from '@tidegate/shared/serving/inference-service.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import type { DeviceCache } from '../cache/device-cache.js';
import type { HubClient } from './hub-client.js';

interface KeptAnswersModules {
  readonly cache: Pick<DeviceCache, 'answer'>;
  readonly models: { inMemory(model: ServedModel): boolean };
  /** Undefined where there is no hub. */
  readonly hub: Pick<HubClient, 'state'> | undefined;
}

/** Of a run that renews a stale answer: the scheduler's lowest level, behind all who wait. */
const RENEWAL_PRIORITY = 10;

export class KeptAnswers {
  readonly #modules: KeptAnswersModules;

  constructor(modules: KeptAnswersModules) {
    this.#modules = modules;
  }

  /**
   * A kept answer by `answeredBy`, or by `orAnsweredBy` where that is as good; else `compute`'s. To renew a stale one, `compute`
   * is given what the renewal may take, at the lowest priority. Rejects as `compute`.
   */
  async answer(
    request: InferRequest,
    model: ServedModel,
    answeredBy: AnsweredBy,
    signal: AbortSignal,
    orAnsweredBy: AnsweredBy | undefined,
    compute: (request: InferRequest, flight: FlightContext, signal: AbortSignal) => Promise<ComputedAnswer>,
  ): Promise<CacheOutcome> {
    const { model: name, inputs, outputs, parameters, cache: mode, cacheTags: tags, maxStalenessMs } = request;
    const { enabled: wanted, ttlMs, staleWhileRevalidateMs } = model.yaml.cache;
    const enabled = wanted && model.deterministic;
    const looking = enabled && mode === 'use' ? request.trace?.span?.child('cache') : undefined;
    const outcome = await this.#modules.cache.answer(
      {
        variantDigest: model.identity.variantDigest,
        answeredBy,
        inputs,
        outputs,
        parameters,
        ...(tags === undefined ? {} : { tags }),
      },
      {
        model: name,
        enabled,
        mode,
        ttlMs,
        staleWhileRevalidateMs,
        maxStalenessMs,
        deadlineMs: request.deadlineMs,
        orAnsweredBy,
        mayRenew: () =>
          answeredBy !== 'hub'
            ? model.counts.queueDepth === 0 && this.#modules.models.inMemory(model)
            : this.#modules.hub?.state === 'reachable',
      },
      (inner, flight) => {
        looking?.end({ attributes: { 'tidegate.cache.result': 'miss' } });
        const { renewal } = flight;
        const asked = renewal === undefined ? request : { ...request, ...renewal, priority: RENEWAL_PRIORITY };
        return compute(asked, flight, inner);
      },
      signal,
    );
    const result = outcome.layer === undefined ? 'joined an equal request' : 'hit';
    looking?.end({ attributes: { 'tidegate.cache.result': result, 'tidegate.cache.layer': outcome.layer } });
    return outcome;
  }
}

// The hub's own answers, kept in memory as devices keep theirs (shared/cache): an equal question to the same variant is answered
// again, and equal ones asked at once are computed once. A kept answer outlives its model in memory, so it costs no load.
//
// Whose answers: each caller's own, since who can guess an input could otherwise tell, by age or time, that somebody else asked it.
// Where the package says `privacy.answers: hub`, everybody's: the same word that lets devices share theirs. Nothing is kept of a
// model with state or with random operators; the latter is known once the version was loaded, and until then answers are kept
// without being shared in flight.
import type { AnswerCache, CacheOutcome } from '@tidegate/shared/cache/answer-cache.js';
import { hasState } from '@tidegate/shared/package/graph-state.js';
import type { InferRequest } from '@tidegate/shared/serving/inference-service.js';
import type { ModelAnswer } from '@tidegate/shared/serving/served-model.js';
import type { CatalogueEntry } from './catalogue.js';
import type { KnownModels } from './known-models.js';

/** Of a run that renews a stale answer: the scheduler's lowest level, behind all who wait. */
const RENEWAL_PRIORITY = 10;

interface KeptAnswersModules {
  readonly cache: AnswerCache;
  readonly models: Pick<KnownModels, 'infer' | 'isDeterministic' | 'isInMemory'>;
}

export class KeptAnswers {
  readonly #modules: KeptAnswersModules;

  constructor(modules: KeptAnswersModules) {
    this.#modules = modules;
  }

  /** May answers of this version be kept? */
  keeps(entry: CatalogueEntry): boolean {
    const { yaml } = entry;
    return yaml.cache.enabled && !hasState(yaml) && this.#modules.models.isDeterministic(entry) !== false;
  }

  /** Rejects as KnownModels.infer. */
  answer(entry: CatalogueEntry, request: InferRequest, signal: AbortSignal): Promise<CacheOutcome> {
    const { cache, models } = this.#modules;
    const { variant, yaml } = entry;
    const { inputs, outputs, parameters, cacheTags: tags = [], maxStalenessMs, deadlineMs, caller = '' } = request;
    const { ttlMs, staleWhileRevalidateMs } = yaml.cache;
    const { version, versionDigest: modelDigest, variantDigest } = variant;
    const identity = { version: String(version), modelDigest, variant: variant.variant, variantDigest };
    const scope = yaml.privacy.answers === 'hub' ? undefined : caller;
    const known = models.isDeterministic(entry) !== undefined;
    return cache.answer(
      { variantDigest, answeredBy: 'hub', inputs, outputs, parameters, tags, scope },
      {
        model: request.model,
        enabled: this.keeps(entry),
        mode: known || request.cache === 'bypass' ? request.cache : 'refresh',
        ...{ ttlMs, staleWhileRevalidateMs, maxStalenessMs, deadlineMs },
        mayRenew: () => models.isInMemory(entry),
      },
      async (inner, { renewal }) => {
        const asked = renewal === undefined ? request : { ...request, ...renewal, priority: RENEWAL_PRIORITY };
        const answer: ModelAnswer = await models.infer(entry, asked, inner);
        return { answeredBy: 'hub', ...identity, ...answer, once: models.isDeterministic(entry) !== true };
      },
      signal,
    );
  }
}

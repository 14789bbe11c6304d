// What an answer says of where it came from, put together from what computed it and what the cache did. Pure.
import type { InferAnswer, InferRequest } from '@tidegate/shared/serving/inference-service.js';
import type { ServedModelIdentity } from '@tidegate/shared/serving/served-model.js';
import type { CacheOutcome, ComputedAnswer } from '@tidegate/shared/cache/answer-cache.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';

/** The hub's answer, to be kept unless another version than the device's has given it: who names a version gets that one. */
export function computedOf(answer: InferAnswer, own: ServedModelIdentity): ComputedAnswer {
  const { modelDigest, variant, variantDigest, queueUs, computeUs, confidence, ranOn, cacheAgeMs } = answer.provenance;
  const { outputs, version } = answer;
  const from = { modelDigest, variant, variantDigest, ranOn };
  return {
    answeredBy: 'hub',
    outputs,
    version,
    ...from,
    queueUs,
    computeUs,
    confidence,
    ageMs: cacheAgeMs,
    once: isOther(answer, own),
  };
}

/** `because`: why it was asked for where it was. */
export function answerOf(request: InferRequest, outcome: CacheOutcome, because?: string): InferAnswer {
  const { answer, layer, ageMs, note, queueUs, computeUs, ranOn, stale } = outcome;
  const { modelDigest, variant, variantDigest, confidence, answeredBy } = answer;
  const own = layer === 'hub' ? 'computed alike by devices of this hub' : 'answered on the device';
  const where = { edge: own, hub: 'answered by the hub', split: 'answered by the device and the hub' }[answeredBy];
  const how = note === undefined ? '' : `, ${note}`;
  const kept = `${where} ${Math.round(ageMs ?? 0)} ms ago${how}, kept in the ${layer} cache`;
  const found = layer === undefined ? (note ?? where) : stale ? `${kept}, past its time` : kept;
  return {
    model: request.model,
    version: answer.version,
    outputs: answer.outputs,
    provenance: {
      placement: layer === undefined ? answeredBy : 'cache',
      reason: because === undefined ? found : `${because}; ${found}`,
      modelDigest,
      variant,
      variantDigest,
      queueUs,
      computeUs,
      ranOn,
      ...(layer === undefined ? {} : { cacheLayer: layer }),
      ...(layer === undefined || ageMs === undefined ? {} : { cacheAgeMs: ageMs }),
      ...(stale ? { cacheStale: true } : {}),
      ...(confidence === undefined ? {} : { confidence }),
    },
  };
}

export function fromHub(answer: InferAnswer, reason: string): InferAnswer {
  const { placement, cacheAgeMs = 0 } = answer.provenance;
  const kept = placement === 'cache' ? `; the hub had computed it ${Math.round(cacheAgeMs)} ms before` : '';
  return { ...answer, provenance: { ...answer.provenance, placement: 'hub', reason: `${reason}${kept}` } };
}

/** Says so where the hub answered with another version than the device has. */
export function ofVersion(answer: InferAnswer, own: ServedModelIdentity): InferAnswer {
  if (!isOther(answer, own)) return answer;
  return withReason(
    answer,
    `${answer.provenance.reason}; by version ${answer.version} of the hub, and not the device's ${own.version}`,
  );
}

/** A foreign server names no digest. */
function isOther({ provenance }: InferAnswer, own: ServedModelIdentity): boolean {
  return provenance.modelDigest !== '' && provenance.modelDigest !== own.versionDigest;
}

export function withReason(answer: InferAnswer, reason: string): InferAnswer {
  return { ...answer, provenance: { ...answer.provenance, reason } };
}

/** Why the cache did not answer. */
export function whyComputed({ cache }: InferRequest, model: ServedModel): string {
  if (!model.yaml.cache.enabled || !model.deterministic) return 'computing: answers of this model are not cached';
  if (cache === 'bypass') return 'computing: the caller bypasses the cache';
  return cache === 'refresh' ? 'computing: the caller wants a fresh answer' : 'computing: no cached answer fits';
}

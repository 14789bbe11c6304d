import { describe, expect, it } from 'vitest';
import type { CacheOutcome } from '@tidegate/shared/cache/answer-cache.js';
import { answerOf, computedOf, fromHub, ofVersion, withReason } from '@tidegate/edge-agent/router/provenance.js';
import type { InferRequest } from '@tidegate/shared/serving/inference-service.js';

const request = { model: 'm' } as InferRequest;
const digests = { modelDigest: 'sha256:v', variant: 'int8', variantDigest: 'sha256:d' };
const own = { name: 'm', version: '3', versionDigest: 'sha256:v', variant: 'int8', variantDigest: 'sha256:d' } as const;
const outcome = (answeredBy: 'edge' | 'hub' | 'split', part: Partial<CacheOutcome> = {}): CacheOutcome => ({
  answer: { answeredBy, ...digests, outputs: [], confidence: 0.5, version: '3' },
  queueUs: 1,
  computeUs: 2,
  layer: undefined,
  ageMs: undefined,
  stale: false,
  aside: false,
  ...part,
});
const said = (...args: Parameters<typeof answerOf>): string => {
  const { placement, reason } = answerOf(...args).provenance;
  return `${placement}: ${reason}`;
};

describe('provenance', () => {
  it('says who computed it, and how where that is told', () => {
    expect(said(request, outcome('edge'))).toBe('edge: answered on the device');
    expect(said(request, outcome('split', { note: 'cut at features' }))).toBe('split: cut at features');
    expect(said(request, outcome('hub'), 'queue full')).toBe('hub: queue full; answered by the hub');
  });

  it('says of a kept answer by whom, when, and in which layer', () => {
    const kept = { layer: 'memory', ageMs: 40 } as const;
    expect(said(request, outcome('split', kept))).toBe(
      'cache: answered by the device and the hub 40 ms ago, kept in the memory cache',
    );
    expect(said(request, outcome('edge', { layer: 'hub', ageMs: 40, stale: true }))).toBe(
      'cache: computed alike by devices of this hub 40 ms ago, kept in the hub cache, past its time',
    );
  });

  it('tells the age of what the hub had kept, and keeps it no longer than if it were its own', () => {
    const fromItsCache = answerOf(request, outcome('hub', { layer: 'memory', ageMs: 40 }));
    expect(fromItsCache.provenance).toMatchObject({ placement: 'cache', cacheLayer: 'memory', cacheAgeMs: 40 });
    expect(fromHub(fromItsCache, 'queue full').provenance.reason).toBe(
      'queue full; the hub had computed it 40 ms before',
    );
    expect(computedOf(fromItsCache, own).ageMs).toBe(40);
  });

  it('says so where the hub has answered with another version than the device has', () => {
    const same = fromHub(answerOf(request, outcome('hub')), 'queue full');
    expect(ofVersion(same, own)).toBe(same);
    const other = { ...own, version: '2', versionDigest: 'sha256:u' } as const;
    expect(ofVersion(same, other).provenance.reason).toBe(
      "queue full; by version 3 of the hub, and not the device's 2",
    );
  });

  it("keeps the hub's own digests, and gives the reason that the device has", () => {
    const answer = answerOf(request, outcome('edge'));
    expect(fromHub(answer, 'queue full').provenance).toMatchObject({
      placement: 'hub',
      reason: 'queue full',
      ...digests,
    });
    expect(withReason(answer, 'so').provenance).toMatchObject({ placement: 'edge', reason: 'so' });
    expect(computedOf(answer, own)).toMatchObject({
      answeredBy: 'hub',
      ...digests,
      queueUs: 1,
      computeUs: 2,
      confidence: 0.5,
    });
  });
});

import { expect, it } from 'vitest';
import { pushProvenanceHeaders } from '@tidegate/shared/serving/http/answer-body.js';
import type { Provenance } from '@tidegate/shared/serving/inference-service.js';

it('marks a stale answer from the cache, and only that', () => {
  const digests = { modelDigest: 'm', variant: 'v', variantDigest: 'd' };
  const from: Provenance = {
    placement: 'cache',
    reason: 'kept',
    ...digests,
    queueUs: 0,
    computeUs: 0,
    cacheLayer: 'disk',
  };
  const headersOf = (provenance: Provenance): string => {
    const headers: string[] = [];
    pushProvenanceHeaders(headers, provenance);
    return headers.join(' ');
  };
  expect(headersOf(from)).toContain('tidegate-cache-layer disk');
  expect(headersOf(from)).not.toContain('stale');
  expect(headersOf({ ...from, cacheStale: true })).toContain('tidegate-cache stale');
});

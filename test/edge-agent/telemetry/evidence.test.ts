import { describe, expect, it } from 'vitest';
import { EvidenceWindow, latencyBucket } from '@tidegate/edge-agent/telemetry/evidence.js';
import type { FinishedRequest } from '@tidegate/edge-agent/telemetry/answer-observer.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { evidenceSchema, LATENCY_BOUNDS_MS } from '@tidegate/shared/wire/telemetry.js';

const request = (more: Partial<FinishedRequest>): FinishedRequest => ({
  model: 'digits',
  versionDigest: sha256('v'),
  variantDigest: sha256('a'),
  outcome: 'edge',
  totalMs: 3,
  edgeConfidence: undefined,
  ...more,
});

describe('a window of evidence', () => {
  it('counts answers, errors, cache hits and the hub apart, and refusals not at all', () => {
    const window = new EvidenceWindow();
    for (const outcome of ['edge', 'edge', 'cache', 'hub', 'model-error', 'refused'] as const)
      window.add(request({ outcome }));
    const [row] = window.rows();
    expect(evidenceSchema.parse(row)).toMatchObject({ requests: 4, errors: 1, cacheHits: 1, hubAnswers: 1 });
    expect(row?.latencyBuckets.reduce((sum, count) => sum + count, 0)).toBe(2);
  });

  it("sums the device's own confidence, also where the hub was then asked, and never a cached one twice", () => {
    const window = new EvidenceWindow();
    window.add(request({ edgeConfidence: 0.5 }));
    window.add(request({ edgeConfidence: 0.25, outcome: 'hub' }));
    window.add(request({ edgeConfidence: 0.5, outcome: 'cache' }));
    expect(window.rows()[0]).toMatchObject({ confidenceCount: 2, confidenceSum: 0.75, confidenceSumOfSquares: 0.3125 });
  });

  it('keeps variants apart, and is empty after clear', () => {
    const window = new EvidenceWindow();
    window.add(request({}));
    window.add(request({ variantDigest: sha256('b') }));
    expect(window.rows()).toHaveLength(2);
    window.clear();
    expect(window.empty).toBe(true);
  });

  it('takes at most 512 rows and counts what found none', () => {
    const window = new EvidenceWindow();
    for (let i = 0; i < 515; i += 1) window.add(request({ model: `m${i}` }));
    expect(window.rows()).toHaveLength(512);
    expect(window.skipped).toBe(3);
  });

  it('puts a latency into the first bucket whose bound is not below it', () => {
    for (const [index, bound] of LATENCY_BOUNDS_MS.entries()) {
      expect(latencyBucket(bound)).toBe(index);
      expect(latencyBucket(bound * 1.0001)).toBe(index + 1);
    }
    expect(latencyBucket(0)).toBe(0);
    expect(latencyBucket(Infinity)).toBe(LATENCY_BOUNDS_MS.length);
  });
});

// Answers and entries of the cache for tests: one UINT8 output with the bytes given.
import type { CachedAnswer, CacheEntry } from '@tidegate/shared/cache/cache-layer.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';

export function cachedAnswer(data: Uint8Array): CachedAnswer {
  const digests = { modelDigest: 'm', variant: 'v', variantDigest: 'd' };
  const outputs = [tensor('y', 'UINT8', [data.byteLength], data)];
  return { answeredBy: 'edge', outputs, confidence: 0.5, version: '1', ...digests };
}

export function cacheEntry(data: Uint8Array, part: Partial<CacheEntry> = {}): CacheEntry {
  return { answer: cachedAnswer(data), labels: { model: 'm', tags: [] }, ageMs: 0, computeUs: 0, ...part };
}

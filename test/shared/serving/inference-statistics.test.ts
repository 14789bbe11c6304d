import { describe, expect, test } from 'vitest';
import { InferenceStatistics, type InferenceEnd } from '@tidegate/shared/serving/inference-statistics.js';

const end = (part: Partial<InferenceEnd>): InferenceEnd => ({
  outcome: 'computed',
  rows: 1,
  totalUs: 10,
  queueUs: 2,
  computeUs: 5,
  missed: false,
  atMs: 1000,
  ...part,
});

describe('inference statistics', () => {
  test('rows are counted where they were computed, requests by their outcome', () => {
    const statistics = new InferenceStatistics();
    statistics.ended('m', '1', end({ rows: 4, missed: true }));
    statistics.ended('m', '1', end({ outcome: 'cached', totalUs: 1, atMs: 2000 }));
    statistics.ended('m', '1', end({ outcome: 'elsewhere', totalUs: 100, atMs: 3000 }));
    statistics.ended('m', '1', end({ outcome: 'failed', totalUs: 7, atMs: 4000 }));
    expect(statistics.of('m', '1')).toMatchObject({
      lastInferenceMs: 3000,
      inferenceCount: 4,
      success: { count: 3, ns: 111_000 },
      fail: { count: 1, ns: 7000 },
      queue: { count: 3, ns: 2000 }, // every success, as Triton counts: cached ones waited for nothing
      computeInfer: { count: 1, ns: 5000 },
      cacheHit: { count: 1, ns: 1000 },
      cacheMiss: { count: 1, ns: 0 },
    });
    expect(statistics.of('m', '2')).toMatchObject({ inferenceCount: 0, success: { count: 0 }, batches: [] });
    expect(statistics.requestCount).toBe(4);
  });

  test('runs by their rows', () => {
    const statistics = new InferenceStatistics();
    for (const rows of [8, 1, 8]) statistics.ran('m', '1', rows, rows * 10);
    const { executionCount, batches } = statistics.of('m', '1');
    expect(executionCount).toBe(3);
    expect(batches).toEqual([
      { rows: 1, computeInfer: { count: 1, ns: 10_000 } },
      { rows: 8, computeInfer: { count: 2, ns: 160_000 } },
    ]);
  });

  test('tells a bounded number of different sizes apart, and counts every run', () => {
    const statistics = new InferenceStatistics();
    for (let rows = 1; rows <= 300; rows++) statistics.ran('m', '1', rows, 1);
    statistics.ran('m', '1', 256, 1);
    const { executionCount, batches } = statistics.of('m', '1');
    expect(executionCount).toBe(301);
    expect(batches).toHaveLength(256);
    expect(batches.at(-1)).toEqual({ rows: 256, computeInfer: { count: 2, ns: 2000 } });
  });

  test('forgets the versions counted first when there are too many', () => {
    const statistics = new InferenceStatistics();
    for (let version = 0; version <= 1024; version++) statistics.ran('m', String(version), 1, 1);
    expect(statistics.of('m', '0').executionCount).toBe(0);
    expect(statistics.of('m', '1024').executionCount).toBe(1);
  });
});

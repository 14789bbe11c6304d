import { describe, expect, it } from 'vitest';
import { AnswerCache, type CachePolicy, type ComputedAnswer } from '@tidegate/edge-agent/cache/answer-cache.js';
import type { CacheQuestion } from '@tidegate/edge-agent/cache/cache-key.js';
import { MemoryLayer } from '@tidegate/edge-agent/cache/memory-layer.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';
import { ManualClock } from '../../support/manual-clock.js';

const question: CacheQuestion = {
  variantDigest: 'sha256:a',
  answeredBy: 'edge',
  inputs: [tensor('x', 'UINT8', [1], Uint8Array.of(1))],
  outputs: [],
  parameters: {},
};
const policy: CachePolicy = { enabled: true, mode: 'use', ttlMs: 1000, maxStalenessMs: undefined, deadlineMs: 1e9 };

function setUp() {
  const clock = new ManualClock();
  const cache = new AnswerCache({ layers: [new MemoryLayer({ limitBytes: 1e6 }, { clock })], clock });
  let runs = 0;
  const compute = (): Promise<ComputedAnswer> => {
    runs += 1;
    const outputs = [tensor('y', 'UINT8', [1], Uint8Array.of(runs))];
    const digests = { modelDigest: 'm', variant: 'v', variantDigest: 'd' };
    return Promise.resolve({
      ...digests,
      answeredBy: 'edge',
      outputs,
      confidence: 1,
      version: '1',
      queueUs: 5,
      computeUs: 7,
    });
  };
  const ask = async (part: Partial<CachePolicy> = {}, other: Partial<CacheQuestion> = {}) => {
    const outcome = await cache.answer(
      { ...question, ...other },
      { ...policy, ...part },
      compute,
      new AbortController().signal,
    );
    return { value: outcome.answer.outputs[0]?.data[0], layer: outcome.layer, computeUs: outcome.computeUs };
  };
  return { clock, cache, ask, runs: () => runs };
}

describe('AnswerCache', () => {
  it('computes once, then answers the same bytes from memory', async () => {
    const { ask } = setUp();
    expect(await ask()).toEqual({ value: 1, layer: undefined, computeUs: 7 });
    expect(await ask()).toEqual({ value: 1, layer: 'memory', computeUs: 0 });
  });

  it("never answers a new version from the old one's entries", async () => {
    const { ask } = setUp();
    await ask();
    expect(await ask({}, { variantDigest: 'sha256:b' })).toMatchObject({ value: 2, layer: undefined });
  });

  it("keeps the device's answers and the hub's apart", async () => {
    const { ask } = setUp();
    await ask();
    expect(await ask({}, { answeredBy: 'hub' })).toMatchObject({ layer: undefined });
  });

  it('forgets after the TTL, or earlier where the caller allows less staleness', async () => {
    const { clock, ask } = setUp();
    await ask();
    clock.advance(500);
    expect(await ask({ maxStalenessMs: 600 })).toMatchObject({ value: 1 });
    expect(await ask({ maxStalenessMs: 400 })).toMatchObject({ value: 2 });
    clock.advance(1001);
    expect(await ask()).toMatchObject({ value: 3 });
    expect(await ask({ maxStalenessMs: 5000 })).toMatchObject({ value: 3 });
  });

  it('bypass neither reads nor writes, refresh writes', async () => {
    const { ask } = setUp();
    await ask();
    expect(await ask({ mode: 'bypass' })).toMatchObject({ value: 2, layer: undefined });
    expect(await ask()).toMatchObject({ value: 1 });
    expect(await ask({ mode: 'refresh' })).toMatchObject({ value: 3, layer: undefined });
    expect(await ask()).toMatchObject({ value: 3, layer: 'memory' });
  });

  it('keeps nothing of a model whose caching is off', async () => {
    const { ask } = setUp();
    await ask({ enabled: false });
    expect(await ask({ enabled: false })).toMatchObject({ value: 2, layer: undefined });
    expect(await ask()).toMatchObject({ value: 3 });
  });

  it('never keeps an error', async () => {
    const { cache, ask } = setUp();
    const failing = (): Promise<ComputedAnswer> => Promise.reject(new ServingError('failed', 'no'));
    const signal = new AbortController().signal;
    await expect(cache.answer(question, policy, failing, signal)).rejects.toThrow('no');
    expect(await ask()).toMatchObject({ value: 1, layer: undefined });
  });

  it('counts by layer', async () => {
    const { cache, ask } = setUp();
    await ask();
    await ask();
    await ask({ mode: 'bypass' });
    expect(cache.counts.layers['memory']).toMatchObject({ hits: 1, misses: 1, stores: 1 });
    expect(cache.counts.bypassed).toBe(1);
  });
});

import { describe, expect, it } from 'vitest';
import {
  AnswerCache,
  type CacheOutcome,
  type CachePolicy,
  type ComputedAnswer,
  type FlightContext,
} from '@tidegate/shared/cache/answer-cache.js';
import type { CacheQuestion } from '@tidegate/shared/cache/cache-key.js';
import type { CacheHit } from '@tidegate/shared/cache/cache-layer.js';
import { InputDigests } from '@tidegate/shared/cache/input-digests.js';
import { MemoryLayer } from '@tidegate/shared/cache/memory-layer.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';
import { settle } from '../../support/fake-graph-runner.js';
import { ManualClock } from '../../support/manual-clock.js';

const question: CacheQuestion = {
  variantDigest: 'sha256:a',
  answeredBy: 'edge',
  inputs: [tensor('x', 'UINT8', [1], Uint8Array.of(1))],
  outputs: [],
  parameters: {},
};
const policy: CachePolicy = {
  model: 'm',
  enabled: true,
  mode: 'use',
  ttlMs: 1000,
  staleWhileRevalidateMs: 0,
  maxStalenessMs: undefined,
  deadlineMs: 1e9,
  mayRenew: () => true,
};

function setUp() {
  const clock = new ManualClock();
  const inputs = new InputDigests({ limitBytes: 1e6 });
  const cache = new AnswerCache({ layers: [new MemoryLayer({ limitBytes: 1e6 }, { clock })], inputs, clock });
  let runs = 0;
  /** What a run waits for; nothing unless a test says so. */
  const gate = { open: Promise.resolve(), fails: false };
  const renewals: number[] = [];
  const compute = async (_signal: AbortSignal, { renewal }: FlightContext): Promise<ComputedAnswer> => {
    runs += 1;
    if (renewal !== undefined) renewals.push(renewal.deadlineMs);
    const fails = gate.fails;
    await gate.open;
    if (fails) throw new ServingError('failed', 'no');
    const outputs = [tensor('y', 'UINT8', [1], Uint8Array.of(runs))];
    const digests = { modelDigest: 'm', variant: 'v', variantDigest: 'd' };
    return { ...digests, answeredBy: 'edge', outputs, confidence: 1, version: '1', queueUs: 5, computeUs: 7 };
  };
  const ask = async (part: Partial<CachePolicy> = {}, other: Partial<CacheQuestion> = {}) => {
    const outcome = await cache.answer(
      { ...question, ...other },
      { ...policy, ...part },
      compute,
      new AbortController().signal,
    );
    return {
      value: outcome.answer.outputs[0]?.data[0],
      layer: outcome.layer,
      computeUs: outcome.computeUs,
      stale: outcome.stale,
    };
  };
  return { clock, cache, inputs, ask, compute, gate, renewals, runs: () => runs };
}

describe('answers whose memory may be used again', () => {
  it('are said to be so only where the cache was passed by', async () => {
    const { cache, compute } = setUp();
    const unshared = async (part: Partial<CachePolicy>): Promise<boolean | undefined> => {
      const answer = async (...asked: Parameters<typeof compute>): Promise<ComputedAnswer> => {
        return { ...(await compute(...asked)), unshared: true };
      };
      return (await cache.answer(question, { ...policy, ...part }, answer, new AbortController().signal)).unshared;
    };
    expect(await unshared({ mode: 'bypass' })).toBe(true);
    expect(await unshared({ enabled: false })).toBe(true);
    for (const mode of ['refresh', 'use'] as const) expect(await unshared({ mode }), mode).not.toBe(true);
    const { answer } = await cache.answer(question, policy, compute, new AbortController().signal);
    expect(answer).not.toHaveProperty('unshared'); // kept, and says nothing of the memory that it was computed in
  });
});

describe('answers of others than the question names', () => {
  it('are kept under who computed them, and given where they are as good', async () => {
    const clock = new ManualClock();
    const cache = new AnswerCache({ layers: [new MemoryLayer({ limitBytes: 1e6 }, { clock })], clock });
    const split = 'split features' as const;
    const computed: ComputedAnswer = {
      answeredBy: 'split',
      keptAs: split,
      note: 'cut at features',
      outputs: [],
      confidence: 1,
      version: '1',
      modelDigest: 'm',
      variant: 'int8+fp32',
      variantDigest: 'd+h',
      queueUs: 5,
      computeUs: 7,
    };
    const { signal } = new AbortController();
    let runs = 0;
    const ask = (answeredBy: CacheQuestion['answeredBy'], orAnsweredBy?: CacheQuestion['answeredBy']) =>
      cache.answer(
        { ...question, answeredBy },
        { ...policy, orAnsweredBy },
        async () => ((runs += 1), { ...computed, ...(orAnsweredBy === undefined && { keptAs: 'hub' as const }) }),
        signal,
      );
    expect(await ask('edge', split)).toMatchObject({ layer: undefined, note: 'cut at features' });
    expect(await ask('edge', split)).toMatchObject({ layer: 'memory', answer: { answeredBy: 'split' } });
    expect(await ask(split)).toMatchObject({ layer: 'memory' });
    expect(runs).toBe(1);
    expect(await ask('edge')).toMatchObject({ layer: undefined }); // the device's own was never computed
    expect(await ask('hub')).toMatchObject({ layer: 'memory' });
    expect(runs).toBe(2);
  });
});

describe('AnswerCache', () => {
  it('computes once, then answers the same bytes from memory', async () => {
    const { ask } = setUp();
    expect(await ask()).toEqual({ value: 1, layer: undefined, computeUs: 7, stale: false });
    expect(await ask()).toEqual({ value: 1, layer: 'memory', computeUs: 0, stale: false });
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

  it('keeps what was asked under different tags apart, and drops by tag and model', async () => {
    const { cache, ask } = setUp();
    await ask({}, { tags: ['camera-1'] });
    expect(await ask({}, { tags: ['camera-2'] })).toMatchObject({ value: 2, layer: undefined });
    expect(cache.drop({ tag: 'camera-1' })).toEqual({ memory: 1 });
    expect(await ask({}, { tags: ['camera-2'] })).toMatchObject({ value: 2, layer: 'memory' });
    expect(await ask({}, { tags: ['camera-1'] })).toMatchObject({ value: 3, layer: undefined });
    expect(cache.drop({ model: 'other' })).toEqual({ memory: 0 });
    cache.keepOnly(['other']);
    expect(cache.models()).toMatchObject([
      { model: 'm', layers: { memory: { entries: 0 } }, hits: { memory: 1 }, misses: 3 },
    ]);
  });

  it('tells large inputs that are asked again apart to the byte, and lets go of them with a drop', async () => {
    const { ask, cache, inputs } = setUp();
    const asked = (last: number) =>
      ask({}, { inputs: [tensor('x', 'UINT8', [5000], new Uint8Array(5000).fill(last, 4999))] });
    for (let i = 0; i < 3; i++) expect((await asked(7)).value).toBe(1);
    for (let i = 0; i < 3; i++) expect((await asked(8)).value).toBe(2);
    expect((await asked(7)).value).toBe(1);
    expect(inputs.sizeBytes).toBeGreaterThan(0);
    cache.drop({ model: 'm' });
    expect(inputs.sizeBytes).toBe(0);
  });

  it('does not keep what was being computed while it was dropped', async () => {
    const { cache, ask, gate } = setUp();
    let open = (): void => undefined;
    gate.open = new Promise((resolve) => (open = resolve));
    const asked = ask();
    await settle();
    cache.drop({ model: 'm' });
    open();
    expect(await asked).toMatchObject({ value: 1 });
    expect(await ask()).toMatchObject({ value: 2, layer: undefined });
  });

  it('steps aside where looking up takes longer than what it saves, and says so', async () => {
    const { clock, compute } = setUp();
    class SlowLayer extends MemoryLayer {
      override get(key: string, maxAgeMs: number): CacheHit | undefined {
        clock.advance(1);
        return super.get(key, maxAgeMs);
      }
    }
    const cache = new AnswerCache({ layers: [new SlowLayer({ limitBytes: 1e6 }, { clock })], clock });
    const ask = (seed: number, mode: CachePolicy['mode'] = 'use'): Promise<CacheOutcome> =>
      cache.answer({ ...question, parameters: { seed } }, { ...policy, mode }, compute, new AbortController().signal);
    for (let i = 0; i < 512; i += 1) expect((await ask(i)).aside).toBe(false);
    expect(await ask(511)).toMatchObject({ aside: true, layer: undefined });
    expect(cache.models()).toMatchObject([{ model: 'm', aside: true, misses: 512 }]);
    expect(await ask(511, 'refresh')).toMatchObject({ aside: false });
  });

  describe('past its TTL', () => {
    const lenient = { staleWhileRevalidateMs: 500 };

    it('gives the stale answer at once, renews it once, and gives the new one then', async () => {
      const { clock, ask, gate, runs, renewals } = setUp();
      await ask(lenient);
      clock.advance(1200);
      let open = (): void => undefined;
      gate.open = new Promise((resolve) => (open = resolve));
      for (let i = 0; i < 5; i += 1)
        expect(await ask(lenient)).toMatchObject({ value: 1, layer: 'memory', stale: true });
      expect(runs()).toBe(2);
      expect(renewals).toEqual([31_200]);
      open();
      await settle();
      expect(await ask(lenient)).toMatchObject({ value: 2, layer: 'memory', stale: false });
    });

    it('computes anew when even that time is over, or the caller allows less', async () => {
      const { clock, ask } = setUp();
      await ask(lenient);
      clock.advance(1200);
      expect(await ask({ ...lenient, maxStalenessMs: 1100 })).toMatchObject({ value: 2, layer: undefined });
      clock.advance(1501);
      expect(await ask(lenient)).toMatchObject({ value: 3, layer: undefined });
    });

    it('renews nothing while the device has enough to do', async () => {
      const { clock, cache, ask, runs } = setUp();
      await ask(lenient);
      clock.advance(1200);
      expect(await ask({ ...lenient, mayRenew: () => false })).toMatchObject({ value: 1, stale: true });
      expect(runs()).toBe(1);
      expect(cache.counts.renewals).toEqual({ started: 0, failed: 0, kept: 1 });
    });

    it('lets the stale answer stand when the renewal fails, and tries again', async () => {
      const { clock, cache, ask, gate } = setUp();
      await ask(lenient);
      clock.advance(1200);
      gate.fails = true;
      expect(await ask(lenient)).toMatchObject({ value: 1 });
      await settle();
      gate.fails = false;
      expect(await ask(lenient)).toMatchObject({ value: 1, stale: true });
      await settle();
      expect(await ask(lenient)).toMatchObject({ value: 3, stale: false });
      expect(cache.counts.renewals).toEqual({ started: 2, failed: 1, kept: 0 });
      expect(clock.timerCount).toBe(0);
    });
  });
});

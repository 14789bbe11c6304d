// The real cache as a router asks it, over a fake model and simulated time.
import { describe, expect, it } from 'vitest';
import { DeviceCache } from '@tidegate/edge-agent/cache/device-cache.js';
import { KeptAnswers } from '@tidegate/edge-agent/router/kept-answers.js';
import type { CacheOutcome, ComputedAnswer } from '@tidegate/shared/cache/answer-cache.js';
import { MemoryLayer } from '@tidegate/shared/cache/memory-layer.js';
import type { InferRequest } from '@tidegate/shared/serving/inference-service.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';
import { Tracer, type FinishedSpan } from '@tidegate/shared/tracing/span.js';
import { settle } from '../../support/fake-graph-runner.js';
import { ManualClock } from '../../support/manual-clock.js';

type Owner = 'edge' | 'hub';

function setUp({ enabled = true, deterministic = true, hub = true } = {}) {
  const clock = new ManualClock();
  const device = { queueDepth: 0, inMemory: true };
  const link: { state: 'reachable' | 'broken' } = { state: 'reachable' };
  const model = {
    identity: { name: 'm', version: '3', versionDigest: 'sha256:v', variant: 'int8', variantDigest: 'sha256:d' },
    yaml: { cache: { enabled, ttlMs: 60_000, staleWhileRevalidateMs: 60_000 } },
    deterministic,
    counts: device,
  } as unknown as ServedModel;
  const kept = new KeptAnswers({
    cache: new DeviceCache({ layers: [new MemoryLayer({ limitBytes: 1e6 }, { clock })], clock }),
    models: { inMemory: () => device.inMemory },
    hub: hub ? link : undefined,
  });
  /** As they came to be computed. */
  const computed: InferRequest[] = [];
  const ask = (part: Partial<InferRequest> = {}, by: Owner = 'edge', orBy?: Owner): Promise<CacheOutcome> => {
    const request = {
      model: 'm',
      inputs: [tensor('x', 'UINT8', [1], Uint8Array.of(7))],
      outputs: [],
      deadlineMs: clock.monotonicMs() + 10_000,
      priority: 3,
      cache: 'use',
      maxStalenessMs: undefined,
      parameters: {},
      ...part,
    } as unknown as InferRequest;
    const compute = async (asked: InferRequest): Promise<ComputedAnswer> => {
      computed.push(asked);
      const outputs = [tensor('y', 'UINT8', [1], Uint8Array.of(computed.length))];
      const from = { version: '3', modelDigest: 'sha256:v', variant: 'int8', variantDigest: 'sha256:d' };
      return { answeredBy: by, outputs, ...from, confidence: undefined, queueUs: 0, computeUs: 1000 };
    };
    return kept.answer(request, model, by, new AbortController().signal, orBy, compute);
  };
  return { clock, device, link, computed, ask };
}

describe('KeptAnswers', () => {
  it('gives what is kept, by whom it is asked for or by who is as good', async () => {
    const { ask, computed } = setUp();
    expect((await ask()).layer).toBeUndefined();
    expect(await ask()).toMatchObject({ layer: 'memory', answer: { answeredBy: 'edge' } });
    expect(await ask({}, 'hub', 'edge')).toMatchObject({ layer: 'memory', answer: { answeredBy: 'edge' } });
    expect((await ask({}, 'hub')).layer).toBeUndefined();
    expect((await ask({ cache: 'refresh' })).layer).toBeUndefined();
    expect((await ask({ cacheTags: ['line 2'] })).layer).toBeUndefined();
    expect((await ask({ parameters: { top: 5 } })).layer).toBeUndefined();
    expect(computed).toHaveLength(5);
  });

  it('keeps nothing of a package that does not want it, nor of a model whose answers differ by themselves', async () => {
    for (const { ask, computed } of [setUp({ enabled: false }), setUp({ deterministic: false })]) {
      await ask();
      await ask();
      expect(computed).toHaveLength(2);
    }
  });

  it('renews what is stale behind all who wait, by a deadline of its own', async () => {
    const { ask, clock, computed } = setUp();
    await ask();
    clock.advance(70_000);
    expect(await ask()).toMatchObject({ layer: 'memory', stale: true });
    await settle();
    expect(computed.map(({ priority }) => priority)).toEqual([3, 10]);
    expect(computed[1]?.deadlineMs).toBe(clock.monotonicMs() + 30_000);
    expect(await ask()).toMatchObject({ layer: 'memory', stale: false });
  });

  it.each<[string, Owner, (parts: Pick<ReturnType<typeof setUp>, 'device' | 'link'>) => void, number]>([
    ['the device has work', 'edge', ({ device }) => (device.queueDepth = 3), 1],
    ['the model is not in memory', 'edge', ({ device }) => (device.inMemory = false), 1],
    ["the hub does not answer, for the device's own", 'edge', ({ link }) => (link.state = 'broken'), 2],
    ['the hub does not answer', 'hub', ({ link }) => (link.state = 'broken'), 1],
    ["the device has work, for the hub's", 'hub', ({ device }) => (device.queueDepth = 3), 2],
  ])('renews only where it holds nobody up: %s', async (_what, by, change, runs) => {
    const { ask, clock, computed, device, link } = setUp();
    await ask({}, by);
    clock.advance(70_000);
    change({ device, link });
    expect(await ask({}, by)).toMatchObject({ stale: true });
    await settle();
    expect(computed).toHaveLength(runs);
  });

  it("renews none of a hub's answers where there is no hub any more", async () => {
    const { ask, clock, computed } = setUp({ hub: false });
    await ask({}, 'hub');
    clock.advance(70_000);
    expect(await ask({}, 'hub')).toMatchObject({ stale: true });
    await settle();
    expect(computed).toHaveLength(1);
  });

  it('traces what it found, and nothing where it does not look', async () => {
    const { ask, clock } = setUp();
    const told: FinishedSpan[] = [];
    const tracer = new Tracer(1, { clock, random: seededRandom(7), take: (span) => void told.push(span) });
    const trace = tracer.begin(undefined, 'request', {});
    await Promise.all([ask({ trace }), ask({ trace })]);
    await ask({ trace });
    await ask({ trace, cache: 'bypass' });
    expect(told.map(({ name }) => name)).toEqual(['cache', 'cache', 'cache']);
    expect(told.map(({ attributes }) => attributes)).toMatchObject([
      { 'tidegate.cache.result': 'miss' },
      { 'tidegate.cache.result': 'joined an equal request' },
      { 'tidegate.cache.result': 'hit', 'tidegate.cache.layer': 'memory' },
    ]);
  });
});

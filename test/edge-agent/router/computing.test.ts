// What is computed and what is had from other devices: the real cache and shared layer over a fake model and a hub that has everything.
import { describe, expect, it } from 'vitest';
import { DeviceCache } from '@tidegate/edge-agent/cache/device-cache.js';
import type { CacheOutcome } from '@tidegate/shared/cache/answer-cache.js';
import { decodeAnswer } from '@tidegate/edge-agent/cache/answer-record.js';
import { MemoryLayer } from '@tidegate/shared/cache/memory-layer.js';
import { SharedLayer, type AnswerOffer, type SharedAnswer } from '@tidegate/edge-agent/cache/shared-layer.js';
import { PrivacyDecisions } from '@tidegate/edge-agent/privacy/privacy-decisions.js';
import { Computing } from '@tidegate/edge-agent/router/computing.js';
import type { InferRequest } from '@tidegate/shared/serving/inference-service.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';
import { modelYamlSchema } from '@tidegate/shared/wire/model-yaml.js';
import { bareYaml } from '../../support/bare-package.js';
import { settle } from '../../support/fake-graph-runner.js';
import { inferRequest } from '../../support/infer-request.js';
import { ManualClock } from '../../support/manual-clock.js';
import { parse } from 'yaml';

const RUN_MS = 100;

/** One device; devices of one `hub` share. */
function device(hub: Map<string, SharedAnswer>, answers: 'hub' | 'none' = 'hub', desired = answers) {
  const clock = new ManualClock();
  const offers: AnswerOffer[] = [];
  const asked: string[] = [];
  let runs = 0;
  const yaml = modelYamlSchema.parse({
    ...(parse(bareYaml('m')) as object),
    privacy: { answers },
    cache: { ttlMs: 1000 },
  });
  const model = {
    yaml,
    identity: { name: 'm', version: '3', versionDigest: 'v', variant: 'int8', variantDigest: 'd' },
    provider: { runs: 'cpu' },
    graphs: [{ engine: 'ort', engineVersion: '1' }],
    infer: async () => {
      runs += 1;
      clock.advance(RUN_MS);
      return {
        outputs: [tensor('y', 'UINT8', [1], Uint8Array.of(7))],
        queueUs: 0,
        computeUs: RUN_MS * 1000,
        confidence: 0.9,
      };
    },
  } as unknown as ServedModel;
  const link = {
    get: async (key: string) => {
      asked.push(key);
      return hub.get(key);
    },
    offer: async (offer: AnswerOffer) => {
      offers.push(offer);
      hub.set(offer.key, { body: offer.body, ageMs: 40 });
    },
  };
  const breaker = { failuresMax: 3, probeIntervalMs: 1000 };
  const shared = new SharedLayer({ machine: 'x64', breaker }, { link, reachable: () => true, clock, log: silentLog });
  const cache = new DeviceCache({
    layers: [new MemoryLayer({ limitBytes: 1e6 }, { clock })],
    shared,
    clock,
  });
  const privacy = new PrivacyDecisions({
    served: () => yaml.privacy,
    desired: () => ({ ...yaml.privacy, answers: desired }),
    log: silentLog,
  });
  const computing = new Computing({ models: { hold: () => () => undefined }, cache, shared, privacy, clock });
  const ask = async (input: number, part: Partial<InferRequest> = {}): Promise<CacheOutcome> => {
    const inputs = [tensor('x', 'UINT8', [1], Uint8Array.of(input))];
    const request = inferRequest({ inputs, deadlineMs: clock.monotonicMs() + 10_000, ...part });
    const { outputs, parameters, deadlineMs, maxStalenessMs, cache: mode } = request;
    const outcome = await cache.answer(
      { variantDigest: 'd', answeredBy: 'edge', inputs, outputs, parameters },
      {
        model: 'm',
        enabled: true,
        mode,
        ttlMs: 1000,
        staleWhileRevalidateMs: 0,
        maxStalenessMs,
        deadlineMs,
        mayRenew: () => true,
      },
      (signal, flight) => computing.answer(request, model, flight, undefined, signal),
      new AbortController().signal,
    );
    await settle();
    return outcome;
  };
  return { clock, ask, cache, offers, asked, runs: () => runs };
}

describe('an answer that another device computed', () => {
  it('is had from the hub, kept in memory with its age, and counted', async () => {
    const hub = new Map<string, SharedAnswer>();
    const first = device(hub);
    for (const input of [1, 2, 3]) await first.ask(input);
    expect(decodeAnswer(first.offers[0]?.body ?? Buffer.of())).toMatchObject({ answeredBy: 'edge', version: '3' });
    const second = device(hub);
    await second.ask(9); // measures
    await second.ask(1); // is audited
    expect(await second.ask(2)).toMatchObject({ layer: 'hub', ageMs: 40, computeUs: 0, answer: { confidence: 0.9 } });
    second.clock.advance(5);
    expect(await second.ask(2)).toMatchObject({ layer: 'memory', ageMs: 45 });
    expect(second.runs()).toBe(2);
    expect(second.cache.counts.layers['hub']).toMatchObject({ hits: 2, audits: 1, disagreements: 0 });
    expect(second.cache.modelCounts()).toMatchObject([{ model: 'm', hits: { hub: 1, memory: 1 }, misses: 2 }]);
  });

  it('is not asked for by a caller who wants a fresh one, who bypasses the cache, or who keeps the request here', async () => {
    const hub = new Map<string, SharedAnswer>();
    const { ask, asked, offers } = device(hub);
    await ask(1);
    expect(offers).toHaveLength(1);
    await ask(2, { cache: 'bypass' });
    await ask(3, { placement: 'local' });
    expect([asked.length, offers.length]).toEqual([0, 1]);
    await ask(4, { cache: 'refresh' });
    expect([asked.length, offers.length]).toEqual([0, 2]); // a fresh one is worth telling
  });

  it.each([
    ['none', 'none'],
    ['hub', 'none'],
    ['none', 'hub'],
  ] as const)('never leaves where the served (%s) or the desired (%s) policy forbids it', async (served, desired) => {
    const { ask, asked, offers } = device(new Map(), served, desired);
    for (const input of [1, 2, 3]) await ask(input);
    expect([asked, offers]).toEqual([[], []]);
  });
});

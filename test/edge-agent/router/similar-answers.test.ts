// Answers to similar inputs over a real pipeline of words: its embedding is the word's length, its graph adds one.
import { describe, expect, it } from 'vitest';
import { DeviceCache } from '@tidegate/edge-agent/cache/device-cache.js';
import type { CacheOutcome } from '@tidegate/shared/cache/answer-cache.js';
import { MemoryLayer } from '@tidegate/shared/cache/memory-layer.js';
import { SemanticLayer } from '@tidegate/edge-agent/cache/semantic-layer.js';
import { Computing } from '@tidegate/edge-agent/router/computing.js';
import type { InferRequest } from '@tidegate/shared/serving/inference-service.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { modelYamlSchema } from '@tidegate/shared/wire/model-yaml.js';
import { ManualClock } from '../../support/manual-clock.js';
import { plusOne, prepare, textsOf, words, YAML, type Call } from '../../support/word-pipeline.js';

async function setUp(semantic: object = {}) {
  const clock = new ManualClock();
  const cache = {
    semantic: { embedding: 'size', distance: 'mean-abs', threshold: 1, audit: 0.01, ...semantic },
  };
  const yaml = modelYamlSchema.parse({ ...YAML, cache });
  const pipeline = await prepare({ cache });
  const calls: Call[] = [];
  /** Of each part of a request: does it count for the package's limits? */
  const counted: boolean[] = [];
  const model = {
    yaml,
    deterministic: true,
    identity: { name: 'm', version: '1', versionDigest: 'v', variant: 'fp32', variantDigest: 'd' },
    infer: async (request: { inputs: []; outputs: []; goesOn: boolean }, signal: AbortSignal) => {
      counted.push(!request.goesOn);
      return { ...(await pipeline.run(request, plusOne(calls), signal)), queueUs: 0, computeUs: 1000 };
    },
  } as unknown as ServedModel;
  const layers = [new MemoryLayer({ limitBytes: 1e6 }, { clock })];
  const answers = new DeviceCache({
    layers,
    semantic: new SemanticLayer({ limitBytes: 1e6 }, { clock, log: silentLog }),
    clock,
  });
  const privacy = { ask: () => ({ allowed: false, rule: '' }) };
  const computing = new Computing({
    models: { hold: () => () => undefined },
    cache: answers,
    shared: undefined,
    privacy,
    clock,
  });
  const ask = (word: string[], part: Partial<InferRequest> = {}): Promise<CacheOutcome> => {
    const request = {
      model: 'm',
      inputs: [words('word', ...word)],
      outputs: [],
      deadlineMs: clock.monotonicMs() + 1000,
      priority: 0,
      placement: 'auto',
      cache: 'use',
      parameters: {},
      ...part,
    } as unknown as InferRequest;
    const { inputs, outputs, parameters, deadlineMs, cache: mode } = request;
    const policy = {
      model: 'm',
      enabled: true,
      mode,
      ttlMs: 1000,
      staleWhileRevalidateMs: 0,
      maxStalenessMs: undefined,
    };
    return answers.answer(
      { variantDigest: 'd', answeredBy: 'edge', inputs, outputs, parameters },
      { ...policy, deadlineMs, mayRenew: () => true },
      (signal, flight) => computing.answer(request, model, flight, undefined, signal),
      new AbortController().signal,
    );
  };
  const labelsOf = ({ answer }: CacheOutcome): string[] => textsOf(answer.outputs.find(({ name }) => name === 'label'));
  return { ask, answers, calls, counted, labelsOf };
}

describe('an answer to a similar input', () => {
  it('is given without running a graph, says so with the distance, and is kept in no exact layer', async () => {
    const { ask, answers, calls, labelsOf } = await setUp();
    expect(labelsOf(await ask(['heron']))).toEqual(['n6']);
    await ask(['herons']); // the first hit is audited
    expect(calls).toHaveLength(2);
    const similar = await ask(['egret']);
    expect(similar).toMatchObject({
      layer: 'semantic',
      note: 'to a similar input (distance 0.00, threshold 1)',
      computeUs: 0,
    });
    expect(labelsOf(similar)).toEqual(['n6']);
    expect((await ask(['egret'])).layer).toBe('semantic');
    expect((await ask(['heron'])).layer).toBe('memory'); // what was computed is exact, and is
    expect(calls).toHaveLength(2);
    expect((await ask(['a'])).layer).toBeUndefined();
    expect(answers.modelCounts()).toMatchObject([{ hits: { semantic: 2, memory: 1 } }]);
  });

  it('computes on from the embedding, with the very answer that the whole pipeline gives', async () => {
    const { ask, calls } = await setUp();
    const plain = await ask(['heron'], { cache: 'bypass' });
    const embedded = await ask(['heron']);
    expect(embedded.answer.outputs).toEqual(plain.answer.outputs);
    expect(embedded.answer.confidence).toBe(plain.answer.confidence);
    expect(calls[1]).toEqual(calls[0]);
  });

  it('is looked for in a part of the request, which counts once for its limits and tells of both parts', async () => {
    const { ask, counted } = await setUp();
    expect(await ask(['heron'])).toMatchObject({ computeUs: 2000 });
    expect(counted).toEqual([true, false]);
  });

  it('takes the embedding of a graph too, which then runs once', async () => {
    const { ask, calls } = await setUp({ embedding: 'score' });
    await ask(['heron']);
    expect(calls).toHaveLength(1);
  });

  it('is never given to several rows at once, to another question, or to who wants a fresh answer', async () => {
    const { ask, labelsOf } = await setUp();
    for (const word of ['heron', 'herons']) await ask([word]);
    expect(labelsOf(await ask(['egret', 'egrets', 'ibis']))).toEqual(['n6', 'n7', 'n5']);
    for (const part of [{ outputs: ['sure'] }, { cache: 'refresh' as const }, { parameters: { top: 2 } }])
      expect((await ask(['egret'], part)).layer).toBeUndefined();
  });

  it('is audited, and ended where it is wrong too often: then the device computes, and says nothing else', async () => {
    const { ask, answers } = await setUp({ audit: 1, threshold: 1 });
    // Every second word is one letter longer than the one before, so its neighbour's answer is wrong.
    for (let i = 0; i < 60; i += 1)
      await ask(['x'.repeat(5 + (i % 2)) + String.fromCharCode(97 + (i % 26))], { parameters: { i: i >> 1 } });
    expect(answers.semantic?.report()).toMatchObject([
      { audits: 20, disagreements: 20, disagreementRate: 1, off: true },
    ]);
    expect((await ask(['xxxxxy'])).layer).toBeUndefined();
  });
});

// The hub's own answers over models that count how often they are asked. Real executors: test/e2e/hub-memory.test.ts.
import type { CatalogueEntry } from '@tidegate/cloud-hub/inference/catalogue.js';
import { KeptAnswers } from '@tidegate/cloud-hub/inference/kept-answers.js';
import { AnswerCache, type CacheOutcome } from '@tidegate/shared/cache/answer-cache.js';
import { MemoryLayer } from '@tidegate/shared/cache/memory-layer.js';
import { readModelYaml } from '@tidegate/shared/package/read-model-yaml.js';
import type { InferRequest } from '@tidegate/shared/serving/inference-service.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';
import { beforeEach, describe, expect, test } from 'vitest';
import { settle } from '../../support/fake-graph-runner.js';
import { ManualClock } from '../../support/manual-clock.js';
import { yamlText } from '../../support/publishing.js';

let clock: ManualClock;
let kept: KeptAnswers;
let cache: AnswerCache;
let runs: number;
let deterministic: boolean | undefined;
let inMemory: boolean;
/** What the model is loaded as when it runs. */
let isReally: boolean;
let run: () => Promise<void>;

beforeEach(() => {
  clock = new ManualClock();
  cache = new AnswerCache({ layers: [new MemoryLayer({ limitBytes: 2 ** 20 }, { clock })], clock });
  [runs, deterministic, isReally, inMemory] = [0, true, true, true];
  run = async () => undefined;
  const infer = async () => {
    runs += 1;
    const value = runs;
    await run();
    deterministic = isReally;
    return {
      outputs: [tensor('y', 'UINT8', [1], Uint8Array.of(value))],
      queueUs: 1,
      computeUs: 2,
      confidence: undefined,
    };
  };
  const models = { infer, isDeterministic: () => deterministic, isInMemory: () => inMemory };
  kept = new KeptAnswers({ cache, models });
});

function entry(fields: Record<string, string> = {}, digest = 'sha256:a'): CatalogueEntry {
  const variant = { model: 'tiny', version: 1, versionDigest: 'sha256:v', variant: 'fp32', variantDigest: digest };
  return { variant, yaml: readModelYaml(yamlText(fields)) } as unknown as CatalogueEntry;
}

async function ask(given: Partial<InferRequest> = {}, of = entry()): Promise<string> {
  const request = {
    ...{ model: 'tiny', inputs: [], outputs: [], parameters: {}, caller: 'token:a', cache: 'use', priority: 0 },
    ...{ deadlineMs: clock.monotonicMs() + 1000, ...given },
  } as unknown as InferRequest;
  const { answer, layer, stale }: CacheOutcome = await kept.answer(of, request, new AbortController().signal);
  return `${answer.outputs[0]?.data[0]} ${layer ?? 'computed'}${stale ? ', stale' : ''}`;
}

describe('an equal question', () => {
  test('is answered again, also when the model has left memory; another variant of it is another question', async () => {
    expect(await ask()).toBe('1 computed');
    inMemory = false;
    expect(await ask()).toBe('1 memory');
    expect(await ask({}, entry({}, 'sha256:b'))).toBe('2 computed');
  });

  test("is answered from one's own answers only, since its age would tell that another asked it", async () => {
    await ask({ caller: 'device-1' });
    expect(await ask({ caller: 'device-2' })).toBe('2 computed');
    expect(await ask({ caller: 'device-1' })).toBe('1 memory');
  });

  test("is answered from everybody's where the package says `privacy.answers: hub`", async () => {
    const shared = entry({ privacy: '{ answers: hub }' });
    await ask({ caller: 'device-1' }, shared);
    expect(await ask({ caller: 'device-2' }, shared)).toBe('1 memory');
  });

  test('that is asked while the first runs waits for it, its own caller’s alone', async () => {
    let end = (): void => undefined;
    run = () => new Promise((resolve) => (end = resolve));
    const both = [ask(), ask()];
    await settle();
    run = async () => undefined;
    expect(await ask({ caller: 'token:b' })).toBe('2 computed');
    end();
    expect(await Promise.all(both)).toEqual(['1 computed', '1 computed']);
    expect(cache.counts.joined).toBe(1);
  });
});

describe('what the package and the caller say', () => {
  test('holds: no cache, a time to live, the largest staleness, bypass and refresh', async () => {
    const never = entry({ cache: '{ enabled: false }' });
    expect([await ask({}, never), await ask({}, never), kept.keeps(never)]).toEqual([
      '1 computed',
      '2 computed',
      false,
    ]);
    const short = entry({ cache: '{ ttlMs: 100 }' });
    expect(await ask({}, short)).toBe('3 computed');
    clock.advance(60);
    expect(await ask({ maxStalenessMs: 50 }, short)).toBe('4 computed');
    expect(await ask({ cache: 'bypass' }, short)).toBe('5 computed');
    expect(await ask({}, short)).toBe('4 memory');
    expect(await ask({ cache: 'refresh' }, short)).toBe('6 computed');
    clock.advance(101);
    expect(await ask({}, short)).toBe('7 computed');
  });

  test('a stale answer is given at once where the package allows it, and renewed behind all who wait', async () => {
    const of = entry({ cache: '{ ttlMs: 100, staleWhileRevalidateMs: 1000 }' });
    await ask({}, of);
    clock.advance(200);
    expect(await ask({}, of)).toBe('1 memory, stale');
    await settle();
    expect(await ask({}, of)).toBe('2 memory');
  });

  test('an operator drops by model and by tag', async () => {
    await ask({ cacheTags: ['camera-3'] });
    cache.drop({ tag: 'camera-3' });
    expect(await ask({ cacheTags: ['camera-3'] })).toBe('2 computed');
    cache.drop({ model: 'tiny' });
    expect(await ask({ cacheTags: ['camera-3'] })).toBe('3 computed');
  });
});

describe('nothing is kept', () => {
  test('of a model with random operators, also before it is known to have them', async () => {
    [deterministic, isReally] = [undefined, false];
    expect(kept.keeps(entry())).toBe(true);
    expect(await Promise.all([ask(), ask()])).toEqual(['1 computed', '2 computed']);
    expect(await ask()).toBe('3 computed');
    expect([kept.keeps(entry()), cache.counts.layers['memory']?.entries]).toEqual([false, 0]);
  });

  test('of a model with state', async () => {
    const stateful = entry({ pipeline: '[{ graph: m.onnx, state: [{ input: h, output: h2 }] }]' });
    expect([await ask({}, stateful), await ask({}, stateful)]).toEqual(['1 computed', '2 computed']);
  });

  test('of a failure', async () => {
    run = () => Promise.reject(new Error('the executor died'));
    await expect(ask()).rejects.toThrow('the executor died');
    run = async () => undefined;
    expect(await ask()).toBe('2 computed');
  });
});

test('the answer that loads the model is kept, though it was not known before whether it may be', async () => {
  deterministic = undefined;
  expect(await ask()).toBe('1 computed');
  expect(await ask()).toBe('1 memory');
});

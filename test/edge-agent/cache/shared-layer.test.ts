// The hub's shared layer on simulated time: when it is asked, what it costs at worst, what is believed, what is offered.
import { describe, expect, it } from 'vitest';
import { encodeAnswer } from '@tidegate/edge-agent/cache/answer-record.js';
import type { CachedAnswer } from '@tidegate/shared/cache/cache-layer.js';
import {
  SharedLayer,
  type AnswerOffer,
  type SharedAnswer,
  type SharedQuestion,
} from '@tidegate/edge-agent/cache/shared-layer.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { cachedAnswer } from '../../support/cache-entries.js';
import { settle } from '../../support/fake-graph-runner.js';
import { ManualClock } from '../../support/manual-clock.js';

const never = new AbortController().signal;
const RUN_MS = 300;

function setUp(options: { machine?: string } = {}) {
  const clock = new ManualClock();
  const asked: string[] = [];
  const offers: AnswerOffer[] = [];
  const hub = {
    has: new Map<string, SharedAnswer>(),
    all: undefined as SharedAnswer | undefined,
    hangs: false,
    reachable: true,
  };
  const link = {
    get: (key: string, signal: AbortSignal): Promise<SharedAnswer | undefined> => {
      asked.push(key);
      if (!hub.hangs) return Promise.resolve(hub.all ?? hub.has.get(key));
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
    },
    offer: async (offer: AnswerOffer, signal: AbortSignal): Promise<void> => {
      offers.push(offer);
      if (hub.hangs)
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
      hub.has.set(offer.key, { body: offer.body, ageMs: 7 });
    },
  };
  const layer = new SharedLayer(
    { machine: options.machine ?? 'x64', breaker: { failuresMax: 3, probeIntervalMs: 1000 } },
    { link, reachable: () => hub.reachable, clock, log: silentLog },
  );
  const question = (key: string, part: Partial<SharedQuestion> = {}): SharedQuestion => ({
    key,
    labels: { model: 'm', tags: [] },
    variantDigest: 'd',
    runsAs: 'cpu',
    maxAgeMs: 1000,
    deadlineMs: clock.monotonicMs() + 10_000,
    ...part,
  });
  const computes = (key: string, answer = value(1), ms = RUN_MS): void => layer.computed(question(key), answer, ms);
  return { clock, hub, asked, offers, layer, question, computes };
}
const value = (one: number): CachedAnswer => cachedAnswer(Uint8Array.of(one));
const shared = (one: number, ageMs = 0): SharedAnswer => ({ body: encodeAnswer(value(one)) ?? Buffer.of(), ageMs });

describe('SharedLayer', () => {
  it('is asked once computing was measured, and gives what the hub has with its age', async () => {
    const { layer, hub, asked, question, computes } = setUp();
    expect(await layer.get(question('a'), never)).toBeUndefined();
    expect(asked).toEqual([]);
    computes('a');
    await settle();
    hub.all = shared(1, 40);
    expect(await layer.get(question('audited'), never)).toBeUndefined(); // the first is computed anyway
    computes('audited');
    expect(await layer.get(question('b'), never)).toMatchObject({ answer: { outputs: [{}] }, ageMs: 40 });
    expect(layer.counts).toMatchObject({ hits: 2, audits: 1, disagreements: 0 });
  });

  it('offers what was computed, once, and not what a network would not be asked for', async () => {
    const { offers, computes, layer } = setUp();
    computes('quick', value(1), 5);
    await settle();
    expect(offers).toEqual([]);
    for (let i = 0; i < 20; i += 1) computes(`a${i}`);
    await settle();
    expect(new Set(offers.map(({ key }) => key)).size).toBe(offers.length);
    expect(offers.at(-1)).toMatchObject({ labels: { model: 'm' }, versionDigest: 'm', variantDigest: 'd' });
    expect(layer.counts.stores).toBe(offers.length);
  });

  it('shares between equal machines only: the kind of machine, provider and engine are in the key', async () => {
    const keys = new Set<string>();
    for (const machine of ['x64', 'arm64']) {
      for (const runsAs of ['cpu', 'webgpu']) {
        const { layer, offers, question } = setUp({ machine });
        layer.computed(question('a', { runsAs }), value(1), RUN_MS);
        await settle();
        expect(offers[0]?.key).toMatch(/^[\w-]{43}$/);
        keys.add(offers[0]?.key ?? '');
      }
    }
    expect(keys.size).toBe(4);
  });

  it('a hub that hangs costs two waits no longer than computing, then one a probe interval', async () => {
    const { clock, hub, layer, asked, question, computes } = setUp();
    computes('a');
    await settle();
    hub.hangs = true;
    for (let i = 0; i < 10; i += 1) {
      const startedMs = clock.monotonicMs();
      const got = layer.get(question(`h${i}`), never);
      await settle();
      if (asked.length > i) clock.advance(RUN_MS);
      expect(await got).toBeUndefined();
      expect(clock.monotonicMs() - startedMs).toBeLessThanOrEqual(RUN_MS);
    }
    expect(asked).toHaveLength(2);
    clock.advance(1000);
    void layer.get(question('probe'), never);
    void layer.get(question('other'), never);
    expect(asked).toHaveLength(3);
  });

  it('is not asked while the hub is known to be away (B30)', async () => {
    const { hub, layer, asked, question, computes } = setUp();
    computes('a');
    hub.reachable = false;
    expect(await layer.get(question('b'), never)).toBeUndefined();
    computes('c');
    expect(asked).toEqual([]);
    expect(layer.counts).toMatchObject({ dropped: 1 });
  });

  it('takes nothing that is too old, of another variant, of the hub, or no answer', async () => {
    const { hub, layer, question, computes } = setUp();
    computes('a');
    const foreign = encodeAnswer({ ...value(1), variantDigest: 'e' }) ?? Buffer.of();
    const ofHub = encodeAnswer({ ...value(1), answeredBy: 'hub' }) ?? Buffer.of();
    for (const found of [
      shared(1, 1001),
      { body: foreign, ageMs: 0 },
      { body: ofHub, ageMs: 0 },
      { body: Buffer.from('nonsense'), ageMs: 0 },
    ]) {
      hub.all = found;
      expect(await layer.get(question('b'), never)).toBeUndefined();
    }
    expect(layer.counts).toMatchObject({ hits: 0, stale: 1, broken: 3 });
  });

  it('stops believing the hub about a model when an audit differs', async () => {
    const { hub, layer, asked, question, computes } = setUp();
    computes('a');
    hub.all = shared(2);
    expect(await layer.get(question('b'), never)).toBeUndefined(); // audited
    computes('b', value(1));
    expect(layer.counts).toMatchObject({ audits: 1, disagreements: 1 });
    expect(await layer.get(question('c'), never)).toBeUndefined();
    expect(asked).toHaveLength(1);
  });

  it('an audit whose run failed says nothing', async () => {
    const { hub, layer, question, computes } = setUp();
    computes('a');
    hub.all = shared(2);
    await layer.get(question('b'), never);
    layer.failed(question('b'));
    computes('b');
    expect(layer.counts).toMatchObject({ audits: 0, disagreements: 0 });
  });

  it('keeps a bounded queue of offers, and drops what was dropped', async () => {
    const { hub, offers, layer, computes } = setUp();
    hub.hangs = true;
    for (let i = 0; i < 100; i += 1) computes(`a${i}`);
    expect(layer.counts.dropped).toBe(36);
    layer.drop({ model: 'm' });
    await layer.close();
    expect(offers).toHaveLength(1);
  });
});

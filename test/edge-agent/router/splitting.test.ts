// Splitting over a simulated device, hub and link: which place answers, what it is made from, and what happens when the hub fails, lies or the link changes.
import { describe, expect, it } from 'vitest';
import type { ComputedAnswer } from '@tidegate/shared/cache/answer-cache.js';
import { Explanations } from '@tidegate/edge-agent/router/explanations.js';
import { HubClient } from '@tidegate/edge-agent/router/hub-client.js';
import { RequestTrail } from '@tidegate/edge-agent/router/request-trail.js';
import { Splitting } from '@tidegate/edge-agent/router/splitting.js';
import type { InferAnswer, InferRequest } from '@tidegate/shared/serving/inference-service.js';
import type { PipelineCut } from '@tidegate/shared/serving/pipeline-cuts.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { settle } from '../../support/fake-graph-runner.js';
import { inferRequest } from '../../support/infer-request.js';
import { ManualClock } from '../../support/manual-clock.js';

/** A picture of 600 KB, 16 KB of features, an answer of 16 bytes; each value carries what it was made from in its first byte. */
const SIZES: Readonly<Record<string, number>> = { picture: 600_000, features: 16_000, text: 16, area: 16 };
const value = (name: string, first = 7): NamedTensor =>
  tensor(name, 'UINT8', [1, SIZES[name] ?? 0], new Uint8Array(SIZES[name] ?? 0).fill(first, 0, 1));
const cut = (name: string, wantedHere: string[], wantedThere: string[], before: string[]): PipelineCut => ({
  name,
  crossing: [name],
  wantedHere,
  wantedThere,
  graphsBefore: before,
  nextGraph: before.length === 0 ? undefined : 'back',
  oneItem: false,
});
/** `front` makes features and area, `back` the text. */
const CUTS = [cut('picture', [], ['text', 'area'], []), cut('features', ['features', 'area'], ['text'], ['front'])];
const TIMES = { front: 16, back: 160 };
const GRAPHS: Readonly<Record<string, readonly (keyof typeof TIMES)[]>> = {
  'picture>features,area': ['front'],
  'features>text': ['back'],
  'picture>': ['front', 'back'],
  'picture>text,area': ['front', 'back'],
};

function setUp(part: { digest?: string; cuts?: readonly PipelineCut[] } = {}) {
  const clock = new ManualClock();
  const link = { roundTripMs: 10, bytesPerMs: 2500, fails: false, hangs: false };
  const hubAsked: InferRequest[] = [];
  const localRuns: string[] = [];
  const wait = (ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      clock.after(ms, resolve);
      signal.addEventListener('abort', () => reject(new ServingError('cancelled', 'ended')), { once: true });
    });
  const partsOf = ({ inputs, outputs }: Pick<InferRequest, 'inputs' | 'outputs'>) =>
    GRAPHS[`${inputs.map(({ name }) => name).join()}>${outputs.join()}`] ?? [];
  const model = {
    identity: { name: 'm', version: '3', versionDigest: 'sha256:v', variant: 'int8', variantDigest: 'sha256:d' },
    cuts: part.cuts ?? CUTS,
    yaml: { inputs: [{ name: 'picture' }], outputs: [{ name: 'text' }, { name: 'area' }] },
  } as unknown as ServedModel;
  const run = async (
    request: InferRequest,
    trail: RequestTrail | undefined,
    signal: AbortSignal,
  ): Promise<ComputedAnswer> => {
    for (const graph of partsOf(request)) {
      localRuns.push(graph);
      await wait(TIMES[graph], signal);
      trail?.ran({ graph, queueUs: 0, computeUs: TIMES[graph] * 1000, rows: 1, batchRows: 1, traces: [] });
    }
    const names = request.outputs.length === 0 ? ['text', 'area'] : request.outputs;
    const from = { version: '3', modelDigest: 'sha256:v', variant: 'int8', variantDigest: 'sha256:d' };
    return {
      answeredBy: 'edge',
      ...from,
      outputs: names.map((name) => value(name)),
      confidence: 0.5,
      queueUs: 0,
      computeUs: 1000,
    };
  };
  const infer = async (request: InferRequest, _remainingMs: number, signal: AbortSignal): Promise<InferAnswer> => {
    hubAsked.push(request);
    if (link.hangs) await wait(1e9, signal);
    const bytes = request.inputs.reduce((sum, { data }) => sum + data.byteLength, 0);
    const computeMs = partsOf(request).reduce((sum, graph) => sum + TIMES[graph] / 4, 0);
    await wait(link.roundTripMs + bytes / link.bytesPerMs + computeMs, signal);
    if (link.fails) throw new ServingError('hub-unavailable', 'connection reset');
    const digests = { modelDigest: part.digest ?? 'sha256:v', variant: 'fp32', variantDigest: 'sha256:h' };
    return {
      model: 'm',
      version: '3',
      outputs: request.outputs.map((name) => value(name, 9)),
      provenance: {
        placement: 'hub',
        reason: '',
        ...digests,
        queueUs: 0,
        computeUs: computeMs * 1000,
        confidence: 0.8,
      },
    };
  };
  const hub = new HubClient(
    { url: 'http://hub', infer, metadata: () => Promise.reject(new Error('not asked')) },
    { failuresMax: 99, probeIntervalMs: 1000 },
    { clock, log: silentLog },
  );
  const computing = {
    run: (request: InferRequest, _model: ServedModel, trail: RequestTrail | undefined, signal: AbortSignal) =>
      run(request, trail, signal),
  };
  const splitting = new Splitting({ computing, hub, clock });
  const explanations = new Explanations();
  const requestOf = (more: Partial<InferRequest> = {}): InferRequest =>
    inferRequest({ inputs: [value('picture')], deadlineMs: clock.monotonicMs() + 30_000, ...more });
  /** Answers one request in simulated time. */
  const ask = async (
    more: Partial<InferRequest> = {},
    meanwhile?: () => void,
  ): Promise<ComputedAnswer & { tookMs: number }> => {
    const request = requestOf(more);
    const plan = splitting.plan(request, model);
    if (plan === undefined) throw new Error('no plan');
    const trail = new RequestTrail(request, { observers: [], onEnd: () => undefined, explanations, clock });
    const startedMs = clock.monotonicMs();
    const under = { ended: false };
    const { signal } = new AbortController();
    const answered = splitting
      .answer(plan, (inner) => run(request, trail, inner), trail, signal)
      .finally(() => (under.ended = true));
    answered.catch(() => undefined);
    await settle();
    meanwhile?.();
    while (!under.ended && clock.nextMs !== undefined) {
      clock.advance(clock.nextMs - clock.monotonicMs());
      await settle();
    }
    const tookMs = clock.monotonicMs() - startedMs;
    return { ...(await answered), tookMs };
  };
  /** Lets what is still under way end, and a second pass. */
  const pause = async (ms = 1000): Promise<void> => {
    clock.advance(ms);
    await settle();
  };
  const askMany = async (count: number): Promise<(string | undefined)[]> => {
    const places: (string | undefined)[] = [];
    for (let i = 0; i < count; i += 1) {
      places.push((await ask()).keptAs);
      await pause();
    }
    return places;
  };
  return { clock, link, hub, hubAsked, localRuns, splitting, model, requestOf, ask, pause, askMany };
}

const firstBytes = ({ outputs }: ComputedAnswer): unknown[] => outputs.map(({ name, data }) => [name, data[0]]);

describe('Splitting', () => {
  it('learns by itself to cut where that is fastest, costing nobody time meanwhile', async () => {
    const { ask, pause } = setUp();
    const took: number[] = [];
    let last = await ask();
    for (let i = 0; i < 8; i += 1) {
      took.push(last.tookMs);
      await pause();
      last = await ask();
    }
    expect(Math.max(...took)).toBeLessThanOrEqual(176); // what the device takes by itself
    expect(last.keptAs).toBe('split features');
    expect(last.tookMs).toBeCloseTo(72.4, 0); // 16 here, 40 at the hub, 10 + 6.4 on the way; the hub alone: 294
    expect(last).toMatchObject({
      answeredBy: 'split',
      variant: 'int8+fp32',
      variantDigest: 'sha256:d+sha256:h',
      modelDigest: 'sha256:v',
      confidence: 0.8,
      note: 'cut at features: 16 ms on the device, 40 ms at the hub, 16 ms on the way',
    });
    expect(firstBytes(last)).toEqual([
      ['text', 9],
      ['area', 7],
    ]);
  });

  it('leaves all of it to the hub over a fast link, and keeps it here over a slow one', async () => {
    const fast = setUp();
    Object.assign(fast.link, { roundTripMs: 0.5, bytesPerMs: 1e6 });
    expect((await fast.askMany(10)).at(-1)).toBe('hub');
    const slow = setUp();
    Object.assign(slow.link, { roundTripMs: 200, bytesPerMs: 125 });
    expect((await slow.askMany(10)).at(-1)).toBe('edge');
  });

  it('chooses again when the link changes, in both directions, and stays then', async () => {
    const { link, askMany } = setUp();
    await askMany(10);
    Object.assign(link, { roundTripMs: 400, bytesPerMs: 125 });
    const worse = await askMany(20);
    expect(worse.slice(4).every((place) => place === 'edge')).toBe(true);
    Object.assign(link, { roundTripMs: 10, bytesPerMs: 2500 });
    const better = await askMany(60); // it is asked again beside the device every half a minute
    expect(better.slice(-10).every((place) => place === 'split features')).toBe(true);
  });

  it('tries one place at a time, and gives up what takes too long, without taking the hub for broken', async () => {
    const { link, askMany, hubAsked, hub, pause } = setUp();
    Object.assign(link, { roundTripMs: 60_000 });
    expect(await askMany(8)).toEqual(Array(8).fill('edge'));
    expect(hubAsked).toHaveLength(1);
    await pause(10_000);
    expect(hub.status).toMatchObject({ phase: 'closed', counts: { timeouts: 0 } });
    expect(hub.status.bytesPerSecond).toBeLessThanOrEqual(60_000); // 600 KB took at least the ten seconds
  });

  it('names the version that it must be, and the outputs', async () => {
    const { ask, hubAsked } = setUp();
    await ask({ placement: 'split' });
    expect(hubAsked[0]).toMatchObject({ version: '3', outputs: ['text'], placement: 'auto' });
    expect(hubAsked[0]?.inputs.map(({ name }) => name)).toEqual(['features']);
  });

  it('goes on from the values that it has when the hub fails in mid-split', async () => {
    const { ask, link, localRuns } = setUp();
    link.fails = true;
    const answer = await ask({ placement: 'split' });
    expect(localRuns).toEqual(['front', 'back']); // nothing twice
    expect(answer).toMatchObject({ answeredBy: 'edge', keptAs: 'edge', variant: 'int8', confidence: 0.5 });
    expect(answer.note).toContain('connection reset');
    expect(firstBytes(answer)).toEqual([
      ['text', 7],
      ['area', 7],
    ]);
  });

  it('goes on in time for the deadline when the hub hangs', async () => {
    const { ask, clock, link, localRuns, pause } = setUp();
    await ask();
    await pause();
    link.hangs = true;
    const answer = await ask({ placement: 'split', deadlineMs: clock.monotonicMs() + 400 });
    expect(answer.answeredBy).toBe('edge');
    expect(answer.tookMs).toBeLessThan(400);
    expect(localRuns).toEqual(['front', 'back', 'front', 'back']);
  });

  it('takes nothing of another version, and leaves the hub alone for a minute then', async () => {
    const { ask, hubAsked, pause } = setUp({ digest: 'sha256:other' });
    const answer = await ask({ placement: 'split' });
    expect(answer).toMatchObject({ answeredBy: 'edge' });
    expect(answer.note).toContain("what the hub has as version 3 is not this device's");
    for (let i = 0; i < 20; i += 1) {
      await ask();
      await pause();
    }
    expect(hubAsked).toHaveLength(1);
  });

  it('makes no plan for a request that enters or leaves inside the pipeline, nor for a model without cuts', () => {
    const { splitting, model, requestOf } = setUp();
    expect(splitting.plan(requestOf({ outputs: ['area', 'text'] }), model)).toBeDefined();
    expect(splitting.plan(requestOf({ outputs: ['text'] }), model)).toBeUndefined();
    expect(splitting.plan(requestOf({ inputs: [value('features')] }), model)).toBeUndefined();
    const uncut = setUp({ cuts: [] });
    expect(uncut.splitting.plan(uncut.requestOf(), uncut.model)).toBeUndefined();
  });

  it('says under what its answers are kept', async () => {
    const { splitting, model, requestOf, askMany } = setUp();
    const keptAs = (part: Partial<InferRequest> = {}) => {
      const plan = splitting.plan(requestOf(part), model);
      return plan && splitting.keptAs(plan);
    };
    expect([keptAs(), keptAs({ placement: 'split' })]).toEqual([undefined, 'split features']);
    await askMany(10);
    expect(keptAs()).toBe('split features');
  });
});

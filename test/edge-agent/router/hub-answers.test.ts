// Answers had from a fake hub in simulated time; real cache, breaker and decisions.
import { describe, expect, it } from 'vitest';
import { DeviceCache } from '@tidegate/edge-agent/cache/device-cache.js';
import { Explanations } from '@tidegate/edge-agent/router/explanations.js';
import { HubAnswers } from '@tidegate/edge-agent/router/hub-answers.js';
import { HubClient } from '@tidegate/edge-agent/router/hub-client.js';
import { KeptAnswers } from '@tidegate/edge-agent/router/kept-answers.js';
import type { RescueView } from '@tidegate/edge-agent/router/place.js';
import { RequestTrail } from '@tidegate/edge-agent/router/request-trail.js';
import { MemoryLayer } from '@tidegate/shared/cache/memory-layer.js';
import type { InferAnswer, InferRequest } from '@tidegate/shared/serving/inference-service.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';
import { settle } from '../../support/fake-graph-runner.js';
import { inferRequest } from '../../support/infer-request.js';
import { ManualClock } from '../../support/manual-clock.js';

interface SetUpOptions {
  readonly hub?: 'answers' | 'hangs' | 'refuses' | 'none';
  /** A version; its newest is 4, the device's is 3. */
  readonly hubLacks?: string;
  readonly hubVersions?: boolean;
}

const IDENTITY = { name: 'm', version: '3', versionDigest: 'sha256:v', variant: 'int8', variantDigest: 'sha256:d' };
const LOCAL = {
  model: 'm',
  version: '3',
  outputs: [tensor('y', 'UINT8', [1], Uint8Array.of(1))],
  provenance: { placement: 'edge', reason: 'answered on the device', confidence: 0.41 },
} as unknown as InferAnswer;
const TROUBLE = new ServingError('queue-full', 'full', { retryAfterMs: 40 });

function setUp({ hub: does = 'answers', hubLacks, hubVersions = true }: SetUpOptions = {}) {
  const clock = new ManualClock();
  const hubRequests: InferRequest[] = [];
  const withinMs: number[] = [];
  const link = {
    url: 'http://hub',
    metadata: () => Promise.reject(new Error('not asked for')),
    infer: async (request: InferRequest, remainingMs: number, signal: AbortSignal): Promise<InferAnswer> => {
      hubRequests.push(request);
      withinMs.push(remainingMs);
      if (does === 'hangs')
        return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
      if (does === 'refuses') throw new ServingError('too-large', 'no room');
      clock.advance(30);
      const { version = '4' } = request;
      if (hubLacks === version) throw new ServingError('not-found', 'no such version');
      const modelDigest = version === '3' ? 'sha256:v' : 'sha256:h';
      const from = { modelDigest, variant: 'fp32', variantDigest: 'sha256:hd' };
      const outputs = [tensor('y', 'UINT8', [1], Uint8Array.of(2))];
      const provenance = { placement: 'edge', reason: '', ...from, queueUs: 1, computeUs: 1 } as const;
      return { model: 'm', version, outputs, provenance };
    },
  };
  const client = new HubClient(link, { failuresMax: 3, probeIntervalMs: 1000 }, { clock, log: silentLog });
  const hub = does === 'none' ? undefined : client;
  const model = {
    identity: IDENTITY,
    yaml: { cache: { enabled: true, ttlMs: 60_000, staleWhileRevalidateMs: 0 } },
    deterministic: true,
  } as unknown as ServedModel;
  const cache = new DeviceCache({ layers: [new MemoryLayer({ limitBytes: 1e6 }, { clock })], clock });
  const kept = new KeptAnswers({ cache, models: { inMemory: () => true }, hub });
  const answers = new HubAnswers({ kept, hub, hubVersions, clock });
  const explanations = new Explanations();
  const leaves = new AbortController();
  const { signal } = leaves;
  type Run = (request: InferRequest, trail: RequestTrail) => Promise<InferAnswer>;
  const told = async (part: Partial<InferRequest>, run: Run) => {
    const request = inferRequest({ id: 'r1', deadlineMs: clock.monotonicMs() + 10_000, ...part });
    const trail = new RequestTrail(request, { observers: [], onEnd: () => undefined, explanations, clock });
    try {
      const answer = await run(request, trail);
      trail.answered(answer);
      return { ...answer.provenance, value: answer.outputs[0]?.data[0], error: undefined };
    } catch (error) {
      trail.refused(error);
      return { error, reason: (error as Error).message };
    }
  };
  const view = (trouble: RescueView['trouble'], detail: string): RescueView => ({
    asked: 'auto',
    modelOnDevice: true,
    privacy: { allowed: true, rule: '' },
    hub: hub?.state ?? 'none',
    stateful: false,
    begun: undefined,
    canSplit: false,
    trouble,
    detail,
  });
  return {
    clock,
    hubRequests,
    withinMs,
    leaves,
    answers,
    view,
    steps: () => explanations.get('r1')?.steps.map(({ what }) => what),
    ask: (part: Partial<InferRequest> = {}, of: { readonly absent: boolean } = { absent: false }) =>
      told(part, (request, trail) =>
        answers.ask(request, of.absent ? undefined : model, 'it was asked for', 500, trail, signal),
      ),
    insteadOf: (part: Partial<RescueView> = {}, request: Partial<InferRequest> = {}) =>
      told(request, (asked, trail) =>
        answers.insteadOf(asked, model, { ...view('queue-full', 'full'), ...part }, TROUBLE, trail, signal),
      ),
    betterThan: (part: Partial<RescueView> = {}, request: Partial<InferRequest> = {}) =>
      told(request, (asked, trail) =>
        answers.betterThan(asked, model, { ...view('low-confidence', 'unsure'), ...part }, LOCAL, trail, signal),
      ),
  };
}

describe('an answer asked of the hub', () => {
  it('is kept where the device has the model, and only there', async () => {
    const { ask, hubRequests, withinMs } = setUp();
    expect(await ask({ placement: 'hub' })).toMatchObject({ placement: 'hub', value: 2, reason: 'it was asked for' });
    expect(hubRequests).toMatchObject([{ placement: 'auto' }]); // at the hub it is no longer the question
    expect(await ask({ placement: 'hub' })).toMatchObject({ placement: 'cache', value: 2 });
    for (let i = 0; i < 2; i += 1) expect(await ask({}, { absent: true })).toMatchObject({ placement: 'hub' });
    expect(withinMs).toEqual([500, 500, 500]);
    expect(await setUp({ hub: 'none' }).ask()).toMatchObject({ error: { code: 'hub-unavailable' } });
  });

  it("is of the device's own version, and says so where the hub only has another", async () => {
    const own = setUp();
    expect(await own.ask()).toMatchObject({ reason: 'it was asked for' });
    expect(own.hubRequests.map(({ version }) => version)).toEqual(['3']);
    const sequence = { id: '7', start: false, end: false };
    await own.ask({ cache: 'bypass', sequence }); // goes on there with what it began with
    expect(own.hubRequests.at(-1)?.version).toBeUndefined();
    const lacking = setUp({ hubLacks: '3' });
    const other = "it was asked for; by version 4 of the hub, and not the device's 3";
    expect(await lacking.ask()).toMatchObject({ placement: 'hub', reason: other });
    expect(lacking.hubRequests.map(({ version }) => version)).toEqual(['3', undefined]);
    expect(lacking.withinMs).toEqual([500, 470]); // both calls within the time for one
    expect(lacking.steps()).toContain('the hub has no version 3: asking for its newest');
    expect(await lacking.ask({ version: '3' })).toMatchObject({ error: { code: 'not-found' } }); // the caller's word
    const local = setUp({ hubVersions: false }); // its models have versions of their own
    expect(await local.ask()).toMatchObject({ reason: other });
    expect(local.hubRequests.map(({ version }) => version)).toEqual([undefined]);
  });

  it('is expected as soon as it came until now, and not where it may not be asked for', async () => {
    const { answers, ask, view } = setUp();
    const here = view('not-ready', '');
    expect(answers.elsewhereMs(here)).toBe(200); // not measured yet
    await ask();
    expect(answers.elsewhereMs(here)).toBe(30);
    expect(answers.elsewhereMs({ ...here, asked: 'local' })).toBeUndefined();
    expect(
      answers.elsewhereMs({ ...here, privacy: { allowed: false, rule: 'privacy.fallback: local' } }),
    ).toBeUndefined();
    const alone = setUp({ hub: 'none' });
    expect(alone.answers.elsewhereMs(alone.view('not-ready', ''))).toBeUndefined();
  });
});

describe("an answer instead of the device's error", () => {
  it('may take all the time that is left, and says what the trouble was', async () => {
    const { insteadOf, steps, withinMs } = setUp();
    expect(await insteadOf()).toMatchObject({ placement: 'hub', value: 2, reason: 'full' });
    expect(steps()?.[0]).toBe('asking the hub: full');
    expect(withinMs).toEqual([10_000]);
  });

  it('is not asked for where it may not be, or would come too late: the error stands', async () => {
    const { ask, insteadOf, hubRequests, clock } = setUp();
    expect(await insteadOf({ asked: 'local' })).toMatchObject({ error: TROUBLE });
    expect(hubRequests).toEqual([]);
    await ask(); // takes 30 ms
    const late = { cache: 'bypass', deadlineMs: clock.monotonicMs() + 29 } as const;
    expect(await insteadOf({}, late)).toMatchObject({ error: TROUBLE });
    expect(hubRequests).toHaveLength(1);
    expect((await setUp({ hub: 'none' }).insteadOf()).error).toBe(TROUBLE);
  });

  it('says both reasons when neither can answer, as the error that the device gave', async () => {
    const { insteadOf, steps } = setUp({ hub: 'refuses' });
    expect(await insteadOf()).toMatchObject({
      error: { code: 'queue-full', message: 'full; the hub: no room', retryAfterMs: 40, cause: { code: 'too-large' } },
    });
    expect(steps()).toContain('the hub: no room');
  });

  it('ends with the caller', async () => {
    const { insteadOf, leaves } = setUp({ hub: 'hangs' });
    const asked = insteadOf({}, { cache: 'bypass' });
    await settle();
    leaves.abort();
    expect(await asked).toMatchObject({ error: { code: 'cancelled' } });
  });
});

describe("an answer that is better than the device's", () => {
  it('takes its place', async () => {
    expect(await setUp().betterThan()).toMatchObject({ placement: 'hub', value: 2, reason: 'unsure' });
  });

  it('is not asked for where it may not be: the local one stands, and says why', async () => {
    const { betterThan, hubRequests } = setUp();
    expect(await betterThan({ asked: 'local' })).toMatchObject({ value: 1, reason: 'unsure; placement local' });
    expect(hubRequests).toEqual([]);
    const alone = await setUp({ hub: 'none' }).betterThan();
    expect(alone).toMatchObject({ value: 1, reason: 'unsure, and there is no hub to ask' });
  });

  it('is given up when the hub hangs, long before the deadline', async () => {
    const { betterThan, clock, steps } = setUp({ hub: 'hangs' });
    const asked = betterThan();
    await settle();
    clock.advance(2000);
    const answer = await asked;
    expect(answer).toMatchObject({ placement: 'edge', value: 1, confidence: 0.41 });
    expect(answer.reason).toMatch(/^unsure; .* did not answer .* stands$/);
    expect(steps()?.[0]).toBe('asking the hub for at most 2000 ms: unsure');
  });

  it('is not waited for at all once the breaker is open, and the hub probed once per interval', async () => {
    const { betterThan, clock, hubRequests } = setUp({ hub: 'hangs' });
    for (let i = 0; i < 2; i += 1) {
      const asked = betterThan({}, { cache: 'bypass' });
      await settle();
      clock.advance(2000);
      await asked;
    }
    for (let i = 0; i < 20; i += 1) expect(await betterThan({}, { cache: 'bypass' })).toMatchObject({ value: 1 });
    expect(hubRequests).toHaveLength(2);
    clock.advance(1000);
    const probe = betterThan({}, { cache: 'bypass' });
    await settle();
    for (let i = 0; i < 20; i += 1) expect(await betterThan({}, { cache: 'bypass' })).toMatchObject({ value: 1 });
    expect(hubRequests).toHaveLength(3);
    clock.advance(2000);
    await probe;
  });

  it('ends with the caller', async () => {
    const { betterThan, leaves } = setUp({ hub: 'hangs' });
    const asked = betterThan({}, { cache: 'bypass' });
    await settle();
    leaves.abort();
    expect(await asked).toMatchObject({ error: { code: 'cancelled' } });
  });
});

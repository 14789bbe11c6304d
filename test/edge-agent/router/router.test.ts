// The router over a fake model, a fake hub and simulated time; real cache, breaker and decisions.
import { describe, expect, it } from 'vitest';
import { DeviceCache } from '@tidegate/edge-agent/cache/device-cache.js';
import { MemoryLayer } from '@tidegate/shared/cache/memory-layer.js';
import { Explanations } from '@tidegate/edge-agent/router/explanations.js';
import type { HeldModels } from '@tidegate/edge-agent/router/computing.js';
import { HubClient } from '@tidegate/edge-agent/router/hub-client.js';
import { PrivacyDecisions } from '@tidegate/edge-agent/privacy/privacy-decisions.js';
import { HUB_DECIDES } from '@tidegate/edge-agent/router/model-control.js';
import { Router } from '@tidegate/edge-agent/router/router.js';
import type { FinishedRequest } from '@tidegate/edge-agent/telemetry/answer-observer.js';
import type { InferAnswer, InferRequest } from '@tidegate/shared/serving/inference-service.js';
import type { ModelAnswer, ServedModel } from '@tidegate/shared/serving/served-model.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';
import { modelYamlSchema } from '@tidegate/shared/wire/model-yaml.js';
import { privacySchema } from '@tidegate/shared/wire/privacy.js';
import { settle } from '../../support/fake-graph-runner.js';
import { inferRequest } from '../../support/infer-request.js';
import { ManualClock } from '../../support/manual-clock.js';

interface SetUpOptions {
  readonly hold?: HeldModels['hold'];
  readonly stateful?: true;
  readonly confidence?: number;
  readonly error?: ServingError;
  readonly privacy?: 'local' | 'hub';
  /** Of the version that should be on the device. */
  readonly desiredPrivacy?: () => 'local' | 'hub' | undefined;
  readonly hub?: 'answers' | 'none';
  readonly starting?: true;
  readonly staleWhileRevalidateMs?: number;
  /** What a crowded model would refuse requests with. */
  readonly refusal?: ServingError;
}

function fakeModel(options: SetUpOptions, runs: { count: number }): ServedModel {
  const yaml = modelYamlSchema.parse({
    name: 'm',
    licence: 'MIT',
    inputs: [{ name: 'x', datatype: 'UINT8', shape: [-1] }],
    outputs: [{ name: 'y', datatype: 'UINT8', shape: [-1] }],
    pipeline: [{ graph: 'm.onnx' }],
    confidence: { output: 'y', threshold: 0.6 },
    privacy: { fallback: options.privacy ?? 'hub' },
    cache: { ttlMs: 60_000, staleWhileRevalidateMs: options.staleWhileRevalidateMs ?? 0 },
  });
  const infer = (): Promise<ModelAnswer> => {
    runs.count += 1;
    if (options.error !== undefined) return Promise.reject(options.error);
    const outputs = [tensor('y', 'UINT8', [1], Uint8Array.of(1))];
    return Promise.resolve({ outputs, queueUs: 1, computeUs: 2, confidence: options.confidence ?? 0.9 });
  };
  const identity = { name: 'm', version: '3', versionDigest: 'sha256:v', variant: 'int8', variantDigest: 'sha256:d' };
  return {
    identity,
    yaml,
    deterministic: options.stateful !== true,
    stateful: options.stateful ?? false,
    cuts: [],
    holds: () => options.stateful ?? false,
    counts: { queueDepth: 0 },
    crowded: () => options.refusal !== undefined,
    refusal: () => options.refusal,
    infer,
    metadata: { name: 'm' },
  } as unknown as ServedModel;
}

function setUp(options: SetUpOptions = {}) {
  const clock = new ManualClock();
  const runs = { count: 0 };
  const hubRequests: InferRequest[] = [];
  const link = {
    url: 'http://hub',
    metadata: (name: string) => Promise.resolve({ name, versions: ['4'], platform: '', inputs: [], outputs: [] }),
    infer: (request: InferRequest): Promise<InferAnswer> => {
      hubRequests.push(request);
      const { version = request.sequence?.start === false ? '3' : '4' } = request; // it goes on with what it began with
      const digests = {
        modelDigest: version === '3' ? 'sha256:v' : 'sha256:h',
        variant: 'fp32',
        variantDigest: 'sha256:hd',
      };
      return Promise.resolve({
        model: 'm',
        version,
        outputs: [tensor('y', 'UINT8', [1], Uint8Array.of(2))],
        provenance: { placement: 'edge', reason: '', ...digests, queueUs: 1, computeUs: 1, confidence: 0.99 },
      });
    },
  };
  const hub = new HubClient(link, { failuresMax: 3, probeIntervalMs: 1000 }, { clock, log: silentLog });
  const finished: FinishedRequest[] = [];
  const model = fakeModel(options, runs);
  const explanations = new Explanations();
  const router = new Router({
    control: HUB_DECIDES,
    hubVersions: true,
    models: {
      serving: (name) => (name === 'm' ? model : undefined),
      names: () => ['m'],
      endSequences: () => undefined,
      inMemory: () => true,
      hold: options.hold ?? (() => () => undefined),
    },
    cache: new DeviceCache({ layers: [new MemoryLayer({ limitBytes: 1e6 }, { clock })], clock }),
    shared: undefined,
    hub: options.hub === 'none' ? undefined : hub,
    observers: [{ finished: (request) => finished.push(request) }],
    onEnd: () => undefined,
    explanations,
    privacy: new PrivacyDecisions({
      served: (name) => (name === 'm' ? model.yaml.privacy : undefined),
      desired: (name) => {
        const fallback = name === 'still-to-come' ? 'local' : options.desiredPrivacy?.();
        return fallback && privacySchema.parse({ fallback });
      },
      log: silentLog,
    }),
    clock,
    accepting: () => options.starting !== true,
  });
  const request = (part: Partial<InferRequest> = {}): InferRequest =>
    inferRequest({ id: 'r1', deadlineMs: clock.monotonicMs() + 10_000, ...part });
  const ask = (part: Partial<InferRequest> = {}) => {
    const answered = router.infer(request(part), new AbortController().signal);
    return answered.then(
      ({ provenance, outputs }) => ({ ...provenance, value: outputs[0]?.data[0], code: undefined }),
      (error: unknown) => ({ code: (error as ServingError).code, reason: (error as Error).message }),
    );
  };
  const refuseUnread = (part: Partial<InferRequest> = {}) =>
    router.refuseUnread('m', undefined, 0, () => ({ inputBytes: undefined, ...request({ inputs: [], ...part }) }));
  return { clock, runs, hubRequests, finished, explanations, ask, refuseUnread, router };
}

describe('Router', () => {
  it('knows no model by its absence while it is starting: what will be there is not refused for good', async () => {
    const { ask } = setUp({ starting: true, hub: 'none' });
    expect(await ask({ model: 'm' })).toMatchObject({ placement: 'edge' }); // loaded already
    expect(await ask({ model: 'later' })).toEqual({
      code: 'not-ready',
      reason: 'the model is not on this device so far, which is still starting, and there is no hub to ask',
    });
    expect(await setUp({ hub: 'none' }).ask({ model: 'later' })).toMatchObject({ code: 'not-found' });
  });

  it('answers on the device, then from the cache, and says so', async () => {
    const { ask, finished, explanations, runs } = setUp();
    expect(await ask()).toMatchObject({ placement: 'edge', value: 1, modelDigest: 'sha256:v', variant: 'int8' });
    expect(await ask()).toMatchObject({ placement: 'cache', cacheLayer: 'memory', value: 1, confidence: 0.9 });
    expect(runs.count).toBe(1);
    expect(finished.map(({ outcome, edgeConfidence }) => [outcome, edgeConfidence])).toEqual([
      ['edge', 0.9],
      ['cache', undefined],
    ]);
    expect(explanations.get('r1')?.result).toContain('cache: answered on the device');
  });

  it('refuses by the head alone what only a run here could answer, and tells it as of any other refusal', () => {
    const refusal = new ServingError('would-miss-deadline', 'refused: too late', { retryAfterMs: 5 });
    const { refuseUnread, finished, explanations } = setUp({ refusal, hub: 'none' });
    expect(refuseUnread({ cache: 'bypass' })).toBe(refusal);
    expect(finished).toMatchObject([{ model: 'm', outcome: 'refused' }]);
    expect(explanations.get('r1')).toMatchObject({
      result: 'would-miss-deadline: refused: too late',
      steps: [{ what: 'refused by what its head says: its body was not read' }],
    });
    expect(refuseUnread()).toBeUndefined(); // an answer may be kept
    expect(setUp({ refusal }).refuseUnread({ cache: 'bypass' })).toBeUndefined(); // the hub may answer
    expect(setUp({ refusal }).refuseUnread({ cache: 'bypass', placement: 'local' })).toBe(refusal);
    expect(setUp({ hub: 'none' }).refuseUnread({ cache: 'bypass' })).toBeUndefined(); // nobody waits
  });

  it('keeps a sequence on the device, whatever the hub could do', async () => {
    const sequence = { id: '7', start: true, end: false };
    const { ask, hubRequests, finished, explanations } = setUp({ stateful: true, confidence: 0.1 });
    expect(await ask({ sequence })).toMatchObject({ placement: 'edge', confidence: 0.1 });
    expect(explanations.get('r1')?.steps[0]?.what).toBe('sequence 7 begins');
    expect(await ask({ sequence: { ...sequence, start: false } })).toMatchObject({ placement: 'edge' });
    expect(await ask({ sequence: { ...sequence, start: false }, placement: 'hub' })).toMatchObject({
      code: 'forbidden',
    });
    expect(finished.map(({ own }) => own)).toEqual([undefined, undefined, undefined]); // no samples: they lack the state
    const error = new ServingError('queue-full', 'full');
    expect(await setUp({ stateful: true, error }).ask({ sequence })).toMatchObject({ code: 'queue-full' });
    expect(hubRequests).toEqual([]);
  });

  it('goes on at the hub with a sequence that began there, until its end', async () => {
    const { ask, hubRequests } = setUp({ stateful: true });
    const go = (start: boolean, end: boolean, placement: 'auto' | 'hub' = 'auto') =>
      ask({ sequence: { id: '7', start, end }, placement });
    expect(await go(true, false, 'hub')).toMatchObject({ placement: 'hub', reason: 'the caller asked for the hub' });
    expect(await go(false, false)).toMatchObject({ placement: 'hub', reason: 'its sequence began at the hub' });
    expect(await go(false, true)).toMatchObject({ placement: 'hub' });
    expect(hubRequests.map(({ sequence }) => sequence?.id)).toEqual(['7', '7', '7']);
    expect(await go(true, false)).toMatchObject({ placement: 'edge' });
    expect(await go(false, false)).toMatchObject({ placement: 'edge' });
  });

  it('asks the hub for a model in quarantine, and says why; without a hub it refuses with that reason', async () => {
    const error = new ServingError('not-ready', 'in quarantine: its executors ended 3 times within 10 minutes');
    expect(await setUp({ error }).ask()).toMatchObject({ placement: 'hub', value: 2, reason: error.message });
    expect(await setUp({ error, hub: 'none' }).ask()).toEqual({ code: 'not-ready', reason: error.message });
  });

  it('sends a request to the hub for a model that is not in memory in time, and waits where nobody else may answer', async () => {
    const elsewhere: (number | undefined)[] = [];
    const hold: HeldModels['hold'] = (_model, { elsewhereMs }) => {
      elsewhere.push(elsewhereMs?.());
      if (elsewhere.at(-1) === undefined) return Promise.resolve(() => undefined);
      return Promise.reject(new ServingError('not-ready', "'m' is not in memory", { retryAfterMs: 400 }));
    };
    const { ask, explanations } = setUp({ hold });
    expect(await ask()).toMatchObject({ placement: 'hub', reason: "'m' is not in memory" });
    expect(await ask({ placement: 'local' })).toMatchObject({ placement: 'edge' });
    expect(explanations.get('r1')?.steps.map(({ what }) => what)).toContain('the model was loaded again');
    expect(await setUp({ hold, privacy: 'local' }).ask()).toMatchObject({ placement: 'edge' });
    expect(await setUp({ hold, hub: 'none' }).ask()).toMatchObject({ placement: 'edge' });
    expect(elsewhere).toEqual([200, undefined, undefined, undefined]);
  });

  it('gives a stale answer at once, says so, and renews it', async () => {
    const { ask, clock, runs, finished } = setUp({ staleWhileRevalidateMs: 60_000 });
    await ask();
    clock.advance(70_000);
    const stale = await ask();
    expect(stale).toMatchObject({ placement: 'cache', cacheLayer: 'memory', cacheStale: true });
    expect(stale.reason).toContain('past its time');
    await settle();
    expect(runs.count).toBe(2);
    expect(finished.map(({ own }) => own !== undefined)).toEqual([true, false]); // nobody asked for the renewal
    expect(await ask()).not.toHaveProperty('cacheStale');
  });

  it('asks the hub where confidence is low, and keeps that answer too', async () => {
    const { ask, hubRequests, finished } = setUp({ confidence: 0.41 });
    expect(await ask()).toMatchObject({ placement: 'hub', value: 2, variantDigest: 'sha256:hd' });
    expect(await ask()).toMatchObject({ placement: 'cache', value: 2 });
    expect((await ask()).reason).toContain('confidence 0.41 under 0.60');
    expect(hubRequests).toHaveLength(1);
    expect(finished[0]).toMatchObject({ outcome: 'hub', edgeConfidence: 0.41 });
  });

  it('never leaves the device with placement local or a local privacy policy', async () => {
    const caller = setUp({ confidence: 0.1 });
    expect(await caller.ask({ placement: 'local' })).toMatchObject({ placement: 'edge', value: 1 });
    const policy = setUp({ confidence: 0.1, privacy: 'local' });
    expect(await policy.ask()).toMatchObject({ placement: 'edge', value: 1 });
    expect(await policy.ask({ placement: 'hub' })).toMatchObject({ code: 'forbidden' });
    const failing = setUp({ error: new ServingError('failed', 'dead'), privacy: 'local' });
    expect(await failing.ask()).toMatchObject({ code: 'failed' });
    expect([...caller.hubRequests, ...policy.hubRequests, ...failing.hubRequests]).toEqual([]);
  });

  it.each(['would-miss-deadline', 'queue-full', 'failed', 'not-ready'] as const)(
    'asks the hub when the device refuses with %s',
    async (code) => {
      const { ask } = setUp({ error: new ServingError(code, `the device says ${code}`) });
      const answer = await ask();
      expect(answer).toMatchObject({ placement: 'hub', value: 2 });
      expect(answer.reason).toContain(code);
    },
  );

  it('keeps the policy of a model that is still to come: its inputs wait for it here', async () => {
    const { ask, hubRequests } = setUp();
    expect(await ask({ model: 'still-to-come' })).toMatchObject({ code: 'not-found' });
    expect(await ask({ model: 'still-to-come', placement: 'hub' })).toMatchObject({ code: 'forbidden' });
    expect(hubRequests).toHaveLength(0);
  });

  it('asks the hub what a model takes that only it has, unless there is none or the policy forbids it', async () => {
    const { signal } = new AbortController();
    const of = (options: SetUpOptions, name: string): Promise<unknown> =>
      setUp(options).router.metadataElsewhere(name, undefined, signal);
    expect(await of({}, 'other')).toMatchObject({ name: 'other', versions: ['4'] });
    await expect(of({ hub: 'none' }, 'other')).rejects.toMatchObject({ code: 'not-found', field: 'model' });
    await expect(of({}, 'still-to-come')).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringMatching(/privacy.fallback: local/),
    });
  });

  it('keeps inputs here while a version that says so replaces one that did not', async () => {
    const { ask, hubRequests } = setUp({ privacy: 'hub', desiredPrivacy: () => 'local', confidence: 0.1 });
    expect(await ask()).toMatchObject({ placement: 'edge' });
    expect(await ask({ version: '4' })).toMatchObject({ code: 'not-found' });
    expect(await ask({ placement: 'hub' })).toMatchObject({ code: 'forbidden' });
    expect(hubRequests).toHaveLength(0);
  });

  it('keeps inputs here from the moment the policy becomes stricter, also while the device computes', async () => {
    let asked = 0;
    const desiredPrivacy = (): 'local' | undefined => ((asked += 1) > 1 ? 'local' : undefined);
    const low = setUp({ confidence: 0.1, desiredPrivacy });
    expect(await low.ask()).toMatchObject({ placement: 'edge' });
    asked = 0;
    const failing = setUp({ error: new ServingError('failed', 'dead'), desiredPrivacy });
    expect(await failing.ask()).toMatchObject({ code: 'failed' });
    expect([...low.hubRequests, ...failing.hubRequests]).toHaveLength(0);
  });

  it('tells the observers of what the device computed itself, and of nothing else', async () => {
    const { ask, finished } = setUp({ confidence: 0.1 });
    const inputs = [tensor('x', 'UINT8', [1], Uint8Array.of(9))];
    expect(await ask({ inputs })).toMatchObject({ placement: 'hub' }); // asked for a better answer than its own
    expect(await ask({ inputs, placement: 'local' })).toMatchObject({ placement: 'cache' });
    expect(await ask({ inputs, placement: 'hub' })).toMatchObject({ placement: 'cache' });
    expect(await ask({ placement: 'hub' })).toMatchObject({ placement: 'hub' });
    expect(finished.map(({ own }) => own)).toMatchObject([
      { inputs, confidence: 0.1 },
      undefined,
      undefined,
      undefined,
    ]);
    expect(finished[0]?.own?.outputs[0]?.data[0]).toBe(1); // its own, not the hub's
  });

  it('of equal requests at once, tells who computed', async () => {
    const { ask, finished, runs } = setUp();
    const answers = await Promise.all([ask(), ask(), ask()]);
    expect(answers.map(({ code, reason }) => [code, reason])).toEqual(
      Array.from({ length: 3 }, () => [undefined, 'answered on the device']),
    );
    expect(runs.count).toBe(1);
    expect(finished.filter(({ own }) => own !== undefined)).toHaveLength(1);
  });

  it("does not ask the hub about the caller's own mistakes", async () => {
    const { ask, hubRequests } = setUp({ error: new ServingError('invalid-argument', 'wrong shape') });
    expect(await ask()).toMatchObject({ code: 'invalid-argument' });
    expect(hubRequests).toEqual([]);
  });

  it("gives the device's own error where there is no hub to ask", async () => {
    const { ask, finished } = setUp({ error: new ServingError('failed', 'executor died'), hub: 'none' });
    expect(await ask()).toMatchObject({ code: 'failed', reason: 'executor died' });
    expect(finished[0]).toMatchObject({ outcome: 'model-error' });
  });

  it('asks the hub for models and versions that are not here, and for placement hub', async () => {
    const { ask, hubRequests, runs } = setUp();
    expect(await ask({ model: 'other' })).toMatchObject({ placement: 'hub' });
    expect(await ask({ version: '9' })).toMatchObject({ placement: 'hub' });
    expect(await ask({ placement: 'hub' })).toMatchObject({ placement: 'hub', reason: 'the caller asked for the hub' });
    expect(await ask({ version: '3' })).toMatchObject({ placement: 'edge' });
    expect(hubRequests.map(({ version }) => version)).toEqual([undefined, '9', '3']); // the device's own, where it has one
    expect(runs.count).toBe(1);
    expect(await setUp({ hub: 'none' }).ask({ model: 'other' })).toMatchObject({ code: 'not-found' });
  });
});

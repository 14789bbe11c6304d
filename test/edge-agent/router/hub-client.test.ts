import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { HubClient, type HubLink } from '@tidegate/edge-agent/router/hub-client.js';
import type { InferAnswer, InferRequest } from '@tidegate/shared/serving/inference-service.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';
import { settle } from '../../support/fake-graph-runner.js';
import { ManualClock } from '../../support/manual-clock.js';

const bytes = (length: number) => [tensor('x', 'UINT8', [length], new Uint8Array(length))];
const request = { model: 'm', inputs: bytes(1000) } as unknown as InferRequest;
const answer = { model: 'm', outputs: [], provenance: { queueUs: 2000, computeUs: 3000 } } as unknown as InferAnswer;

function setUp() {
  const clock = new ManualClock();
  const calls: { resolve(answer: InferAnswer): void; reject(error: Error): void; remainingMs: number }[] = [];
  const link: HubLink = {
    url: 'http://hub',
    infer: (_request, remainingMs, signal) =>
      new Promise((resolve, reject) => {
        calls.push({ resolve, reject, remainingMs });
        signal.addEventListener('abort', () => reject(new Error('aborted')));
      }),
    metadata: (model) => Promise.resolve({ name: model, versions: ['1'], platform: '', inputs: [], outputs: [] }),
  };
  const hub = new HubClient(link, { failuresMax: 3, probeIntervalMs: 1000 }, { clock, log: silentLog });
  const ask = (waitMs = 100, signal = new AbortController().signal): Promise<unknown> =>
    hub.ask(request, waitMs, signal).catch((error: unknown) => (error as ServingError).code);
  return { clock, calls, hub, ask };
}

describe('HubClient', () => {
  it('tells the hub the time that is left', async () => {
    const { calls, ask } = setUp();
    const asked = ask(250);
    calls[0]?.resolve(answer);
    expect(await asked).toBe(answer);
    expect(calls[0]?.remainingMs).toBe(250);
  });

  it('listens to the signal of a caller that asks often only while it asks', async () => {
    const { calls, ask } = setUp();
    const { signal } = new AbortController();
    for (let i = 0; i < 3; i++) {
      const asked = ask(250, signal);
      expect(getEventListeners(signal, 'abort')).toHaveLength(1);
      calls.at(-1)?.resolve(answer);
      expect(await asked).toBe(answer);
      expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    }
  });

  it('gives up after its time, opens after two hangs, and then probes once per interval', async () => {
    const { clock, calls, hub, ask } = setUp();
    for (let i = 0; i < 2; i += 1) {
      const asked = ask();
      clock.advance(100);
      expect(await asked).toBe('hub-unavailable');
    }
    expect(hub.state).toBe('broken');
    for (let i = 0; i < 50; i += 1) expect(await ask()).toBe('hub-unavailable');
    expect(calls).toHaveLength(2);
    clock.advance(1000);
    expect(hub.state).toBe('reachable');
    const probe = ask();
    for (let i = 0; i < 50; i += 1) expect(await ask()).toBe('hub-unavailable');
    expect(calls).toHaveLength(3);
    calls[2]?.resolve(answer);
    expect(await probe).toBe(answer);
    expect(hub.status).toMatchObject({ phase: 'closed', counts: { probes: 1, timeouts: 2 } });
  });

  it('measures the way there and back, without what the hub waited and computed', async () => {
    const { clock, calls, hub } = setUp();
    const ask = async (length: number, tookMs: number): Promise<void> => {
      const asked = hub.ask({ ...request, inputs: bytes(length) }, 1000, new AbortController().signal);
      clock.advance(tookMs);
      calls.at(-1)?.resolve(answer);
      await asked;
    };
    for (let i = 0; i < 3; i += 1) {
      await ask(1000, 5 + 20 + 1);
      await ask(100_000, 5 + 20 + 100);
    }
    expect(hub.status.roundTripMs).toBeCloseTo(20);
    expect(hub.status.bytesPerSecond).toBe(1_000_000);
    const late = hub.ask(request, 400, new AbortController().signal);
    clock.advance(400);
    await expect(late).rejects.toMatchObject({ code: 'hub-unavailable' });
    expect(hub.status.roundTripMs).toBeGreaterThan(50); // it takes at least as long as it was waited for
  });

  it("does not count the request's own faults, nor a caller who went away", async () => {
    const { calls, hub, ask } = setUp();
    for (let i = 0; i < 5; i += 1) {
      const asked = ask();
      calls[i]?.reject(new ServingError('invalid-argument', 'wrong shape'));
      expect(await asked).toBe('invalid-argument');
    }
    for (let i = 0; i < 5; i += 1) {
      const gone = new AbortController();
      const asked = ask(100, gone.signal);
      gone.abort();
      expect(await asked).toBe('cancelled');
    }
    await settle();
    expect(hub.state).toBe('reachable');
  });

  it('takes a refusal with a time for an answer, and does not ask for the model until then', async () => {
    const { clock, calls, hub, ask } = setUp();
    for (let i = 0; i < 5; i += 1) {
      const asked = ask();
      calls[i]?.reject(new ServingError('queue-full', 'refused: 64 wait', { retryAfterMs: 200 }));
      expect(await asked).toBe('queue-full');
      expect(await ask()).toBe('queue-full');
      await expect(hub.ask(request, 100, new AbortController().signal)).rejects.toThrow(
        'not asked for 200 ms more, since it answered: refused: 64 wait',
      );
      clock.advance(200);
    }
    expect(calls).toHaveLength(5);
    expect(hub.status).toMatchObject({ phase: 'closed', counts: { calls: 5, kept: 10 } });
  });

  it('takes a refusal without a time for a failure', async () => {
    const { calls, hub, ask } = setUp();
    for (let i = 0; i < 3; i += 1) {
      const asked = ask();
      calls[i]?.reject(new ServingError('not-ready', 'the model loads'));
      await asked;
    }
    expect(hub.state).toBe('broken');
  });

  it('asks nothing when no time is left', async () => {
    const { calls, ask } = setUp();
    expect(await ask(0)).toBe('hub-unavailable');
    expect(calls).toHaveLength(0);
  });

  it('says what a model takes while it answers, and asks nothing while it does not', async () => {
    const { clock, hub, ask } = setUp();
    const { signal } = new AbortController();
    expect(await hub.metadata('m', undefined, signal)).toMatchObject({ name: 'm' });
    for (let i = 0; i < 2; i += 1) {
      const asked = ask();
      clock.advance(100);
      await asked;
    }
    await expect(hub.metadata('m', undefined, signal)).rejects.toMatchObject({ code: 'hub-unavailable' });
  });
});

import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Agent } from 'undici';
import { createInferClient, type InferClient } from '@tidegate/shared/serving/http/infer-client.js';
import type { InferRequest } from '@tidegate/shared/serving/inference-service.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';
import { inferRequest } from '../../../support/infer-request.js';
import { startOipServer, type OipServer } from '../../../support/oip-server.js';

const live = (): AbortSignal => new AbortController().signal;

const client = (url: string, answerBytesMax = 1 << 20): InferClient =>
  createInferClient({ url, clock: systemClock, answerBytesMax });

function request(extra: Partial<InferRequest> = {}): InferRequest {
  const inputs = [tensor('INPUT0', 'FP32', [2], bytesOf(new Float32Array([1, 2])))];
  return inferRequest({ model: 'echo-fp32', inputs, deadlineMs: 0, ...extra });
}

async function failure(promise: Promise<unknown>): Promise<ServingError> {
  const error: unknown = await promise.then(
    () => new Error('was answered'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ServingError);
  return error as ServingError;
}

describe('against our own server', () => {
  let server: OipServer;
  let hub: InferClient;
  beforeAll(async () => {
    server = await startOipServer();
    hub = client(server.url);
  });
  afterAll(async () => {
    await hub.close();
    await server.close();
  });

  test('what a model takes and gives, and that there is none', async () => {
    const { inputs, outputs, versions } = await hub.metadata('matrix', '2', 1000, live());
    expect(inputs).toEqual([{ name: 'X', datatype: 'FP32', shape: [-1, 4] }]);
    expect(outputs).toEqual(inputs);
    expect(versions).toEqual(['1', '2']);
    expect(await failure(hub.metadata('a/b?', undefined, 1000, live()))).toMatchObject({ code: 'not-found' });
  });

  test('tensors go and come back as bytes, with where they were made', async () => {
    const answer = await hub.infer(request({ outputs: ['OUTPUT0'] }), 1000, live());
    expect(answer.outputs).toEqual([
      { name: 'OUTPUT0', datatype: 'FP32', shape: [2], data: bytesOf(new Float32Array([1, 2])) },
    ]);
    expect(answer).toMatchObject({ model: 'echo-fp32', version: '1' });
    expect(answer.provenance).toMatchObject({ placement: 'edge', reason: 'echoed — on the device', confidence: 0.5 });
  });

  test('a sequence, its id exactly as it came; one of a connection is told apart', async () => {
    const sequence = { id: '18446744073709551615', start: true, end: false };
    await hub.infer(request({ sequence }), 1000, live());
    expect(server.service.requests.at(-1)?.sequence).toEqual(sequence);
    await hub.infer(request({ sequence: { ...sequence, id: '"a"', scope: 'stream-3' } }), 1000, live());
    expect(server.service.requests.at(-1)?.sequence).toEqual({ ...sequence, id: '"stream-3 \\"a\\""' });
  });

  test('several inputs, BYTES, no elements, a version', async () => {
    const inputs = [
      tensor('TEXT', 'BYTES', [1, 2], encodeBytes([new Uint8Array([255, 0]), new Uint8Array()])),
      tensor('NUMBERS', 'INT64', [0], new Uint8Array()),
    ];
    const answer = await hub.infer(request({ model: 'echo-two', version: '2', inputs }), 1000, live());
    expect(answer.outputs.map(({ data }) => new Uint8Array(data))).toEqual(inputs.map(({ data }) => data));
    expect(answer.version).toBe('2');
  });

  test('what the caller allows and the remaining time travel', async () => {
    const said = {
      priority: 2,
      caller: 'till-3',
      placement: 'hub',
      cache: 'refresh',
      maxStalenessMs: 7,
      id: 'r1',
      parameters: { lang: 'x' },
    };
    await hub.infer(request(said as Partial<InferRequest>), 1500, live());
    const seen = server.service.requests.at(-1) as InferRequest;
    expect(seen).toMatchObject(said);
    expect(seen.deadlineMs - performance.now()).toBeGreaterThan(500);
    expect(seen.deadlineMs - performance.now()).toBeLessThanOrEqual(1500);
  });

  test('a refusal keeps its code, text, field and retry time', async () => {
    server.service.nextError = new ServingError('would-miss-deadline', 'too slow', {
      field: 'timeout',
      retryAfterMs: 250,
    });
    const error = await failure(hub.infer(request(), 1000, live()));
    expect(error).toMatchObject({
      code: 'would-miss-deadline',
      message: 'too slow',
      field: 'timeout',
      retryAfterMs: 250,
    });
    expect(await failure(hub.infer(request({ model: 'nosuch' }), 1000, live()))).toMatchObject({ code: 'not-found' });
  });

  test('an abort reaches the other side', async () => {
    const waiting = server.service.waiting();
    const abort = new AbortController();
    const slow = request({ model: 'slow', inputs: [tensor('X', 'FP32', [0], new Uint8Array())] });
    const answer = failure(hub.infer(slow, 10_000, abort.signal));
    await waiting;
    const signal = server.service.signals.at(-1) as AbortSignal;
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    abort.abort();
    expect(await answer).toMatchObject({ code: 'cancelled' });
    await aborted;
  });

  test('time that runs out, or has run out', async () => {
    const slow = request({ model: 'slow', inputs: [tensor('X', 'FP32', [0], new Uint8Array())] });
    expect(await failure(hub.infer(slow, 50, live()))).toMatchObject({ code: 'deadline-exceeded' });
    expect(await failure(hub.infer(slow, 0, live()))).toMatchObject({ code: 'deadline-exceeded' });
    expect(await failure(hub.infer(slow, 1000, AbortSignal.abort()))).toMatchObject({ code: 'cancelled' });
  });

  test('an answer beyond the limit', async () => {
    const small = client(server.url, 100);
    expect(await failure(small.infer(request(), 1000, live()))).toMatchObject({ code: 'too-large' });
    expect((await hub.infer(request(), 1000, live())).model).toBe('echo-fp32');
    await small.close();
  });

  test('readiness', async () => {
    expect(await hub.ready(1000, live())).toBe(true);
    server.service.isReady = false;
    expect(await hub.ready(1000, live())).toBe(false);
    server.service.isReady = true;
  });

  test('an injected dispatcher is used and stays its owner’s', async () => {
    const dispatcher = new Agent();
    const injected = createInferClient({ url: server.url, clock: systemClock, answerBytesMax: 1 << 20, dispatcher });
    await injected.infer(request(), 1000, live());
    await injected.close();
    expect(await injected.ready(1000, live())).toBe(true);
    await dispatcher.close();
  });
});

describe('against others', () => {
  let stop: (() => Promise<void>) | undefined;
  afterEach(() => stop?.());

  async function other(listener: RequestListener): Promise<InferClient> {
    const server = createServer(listener).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const hub = client(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    stop = async () => {
      await hub.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    };
    return hub;
  }
  const answering = (body: string, headers: Record<string, string> = {}, status = 200): RequestListener => {
    return (incoming: IncomingMessage, response) => {
      incoming.resume();
      response.writeHead(status, headers).end(body);
    };
  };

  test('a server that says nothing of provenance (Triton)', async () => {
    const json =
      '{"model_name":"m","model_version":"3","outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[2]}]}';
    const hub = await other(answering(json));
    const answer = await hub.infer(request(), 1000, live());
    expect(answer).toMatchObject({ model: 'm', version: '3', provenance: { placement: 'hub', variantDigest: '' } });
    expect(new Uint8Array(answer.outputs[0]?.data ?? [])).toEqual(bytesOf(new Float32Array([2])));
  });

  test.each([
    ['no JSON', 'hello', {}],
    ['no outputs', '{}', {}],
    ['a wrong JSON length', '{}', { 'inference-header-content-length': '99' }],
    [
      'an overflowing shape',
      '{"outputs":[{"name":"y","datatype":"FP32","shape":[4611686018427387904],"data":[]}]}',
      {},
    ],
    [
      'missing bytes',
      '{"outputs":[{"name":"y","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}]}',
      {},
    ],
    ['surplus bytes', '{"outputs":[]}xx', { 'inference-header-content-length': '14' }],
    [
      'a wrong size',
      '{"outputs":[{"name":"y","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":1}}]}x',
      { 'inference-header-content-length': '87' },
    ],
  ] as [string, string, Record<string, string>][])('%s is no answer', async (_, body, headers) => {
    const hub = await other(answering(body, headers));
    expect(await failure(hub.infer(request(), 1000, live()))).toMatchObject({ code: 'hub-unavailable' });
  });

  test.each([
    [502, 'hub-unavailable'],
    [503, 'hub-unavailable'],
    [401, 'forbidden'],
    [429, 'rate-limited'],
    [418, 'hub-unavailable'],
  ])("a proxy's %d is %s", async (status, code) => {
    const hub = await other(answering('<html>', { 'retry-after': '3' }, status));
    const error = await failure(hub.infer(request(), 1000, live()));
    expect(error).toMatchObject({ code, retryAfterMs: 3000 });
  });

  test('nobody there', async () => {
    const hub = await other(answering('{}'));
    await stop?.();
    stop = undefined;
    const fresh = client(hub.url);
    const error = await failure(fresh.infer(request(), 1000, live()));
    expect(error).toMatchObject({ code: 'hub-unavailable' });
    expect(error.message).toMatch(/ECONNREFUSED/);
    expect(await fresh.ready(1000, live())).toBe(false);
    await fresh.close();
  });

  test('an endless answer is cut at the limit', async () => {
    const hub = await other((incoming, response) => {
      incoming.resume();
      response.writeHead(200);
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65536)));
      };
      response.on('drain', more);
      more();
    });
    expect(await failure(hub.infer(request(), 5000, live()))).toMatchObject({ code: 'too-large' });
  });
});

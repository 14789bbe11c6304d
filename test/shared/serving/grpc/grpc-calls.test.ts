// What happens to calls in time: streams, clients that go away, limits, who may call, and the server's end.
import { once } from 'node:events';
import { connect } from 'node:net';
import { status, type ServiceError } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startGrpcServer } from '@tidegate/shared/serving/grpc/grpc-server.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import { GrpcClient, type Decoded } from '../../../support/grpc-client.js';
import { startOipGrpcServer, type OipGrpcServer } from '../../../support/oip-grpc-server.js';

type Message = Record<string, unknown>;
const one = bytesOf(Float32Array.of(1));
const SLOW = { model_name: 'slow', inputs: [{ name: 'X', datatype: 'FP32', shape: [1] }], raw_input_contents: [one] };

function echo(id: string, ...values: number[]): Message {
  const input = { name: 'INPUT0', datatype: 'FP32', shape: [values.length] };
  return { id, model_name: 'echo-fp32', inputs: [input], raw_input_contents: [bytesOf(Float32Array.from(values))] };
}

let server: OipGrpcServer;
beforeEach(async () => {
  server = await startOipGrpcServer({ bodyBytesMax: 1 << 20, bodiesBytesMax: 3 << 19 });
});
afterEach(() => server.close());

/** All answers of a stream that has ended, and the status that it ended with. */
async function collect(stream: ReturnType<GrpcClient['stream']>): Promise<{ answers: Decoded[]; code: status }> {
  const answers: Decoded[] = [];
  let code: status = status.OK;
  stream.on('data', (answer: Decoded) => answers.push(answer));
  stream.on('error', (error: ServiceError) => (code = error.code));
  await once(stream, 'close').catch(() => undefined);
  return { answers, code };
}

const idOf = ({ infer_response: response }: Decoded): string => response.id;

describe('a stream', () => {
  test('answers in the order of the requests, also where a later one is done first', async () => {
    const stream = server.client.stream();
    const collected = collect(stream);
    const waiting = server.service.waiting();
    stream.write({ ...SLOW, id: 'slow' });
    for (let i = 0; i < 10; i++) stream.write(echo(`${i}`, i));
    await waiting;
    while (server.service.requests.length < 11) await new Promise(setImmediate);
    server.service.release();
    stream.end();
    const { answers, code } = await collected;
    expect(code).toBe(status.OK);
    expect(answers.map(idOf)).toEqual(['slow', ...Array.from({ length: 10 }, (_, i) => `${i}`)]);
    const last = answers.at(-1)?.['infer_response'];
    expect(last.raw_output_contents).toEqual([Buffer.from(bytesOf(Float32Array.of(9)))]);
    expect(last.parameters.placement).toMatchObject({ string_param: 'edge' });
    expect(server.budget.usedBytes).toBe(0);
  });

  test('of many requests at once is no leak to Node', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): unknown => warnings.push(warning);
    process.on('warning', onWarning);
    const stream = server.client.stream();
    stream.on('error', () => undefined); // it is cancelled below
    for (let i = 0; i < 16; i++) stream.write({ ...SLOW, id: `${i}` });
    while (server.service.signals.length < 16) await new Promise(setImmediate);
    await new Promise(setImmediate); // a warning comes at the next tick
    process.off('warning', onWarning);
    stream.cancel();
    expect(warnings).toEqual([]);
  });

  test('goes on after a bad request, whose error carries its id', async () => {
    const stream = server.client.stream();
    const collected = collect(stream);
    stream.write(echo('first', 1));
    stream.write({ ...echo('bad', 1), model_name: 'nosuch' });
    stream.write({ ...echo('worse', 1), raw_input_contents: [Buffer.alloc(3)] });
    stream.end(echo('last', 1));
    const { answers, code } = await collected;
    expect(code).toBe(status.OK);
    expect(answers.map(idOf)).toEqual(['first', 'bad', 'worse', 'last']);
    expect(answers.map((answer) => answer['error_message'])).toEqual([
      '',
      'model: no model "nosuch"',
      expect.stringMatching(/^raw_input_contents\[0\]: 3 bytes/),
      '',
    ]);
  });

  test('says that an answer is the last where Triton’s clients ask, and the request is the same', async () => {
    const stream = server.client.stream();
    const collected = collect(stream);
    stream.end({ ...echo('a', 1), parameters: { triton_enable_empty_final_response: { bool_param: true } } });
    const { answers } = await collected;
    expect(answers[0]?.['infer_response'].parameters.triton_final_response).toMatchObject({ bool_param: true });
    expect(server.service.requests.at(-1)?.parameters).toEqual({});
  });

  test('takes no more requests than are being answered', async () => {
    const stream = server.client.stream();
    const collected = collect(stream);
    const waiting = server.service.waiting();
    stream.write({ ...SLOW, id: 'slow' });
    for (let i = 0; i < 60; i++) stream.write(echo(`${i}`, i));
    await waiting;
    // What a call of its own tells has come after what the stream had sent before it, on the same connection.
    for (let i = 0; i < 20; i++) await server.client.call('ServerLive', {});
    expect(server.service.requests.length).toBe(16);
    server.service.release();
    stream.end();
    expect((await collected).answers).toHaveLength(61);
  });

  test('whose client goes away ends the work of all its requests', async () => {
    const stream = server.client.stream();
    const collected = collect(stream);
    const waiting = server.service.waiting();
    stream.write(SLOW);
    await waiting;
    const [signal] = server.service.signals as [AbortSignal];
    const aborted = once(signal, 'abort');
    stream.cancel();
    await aborted;
    expect((await collected).code).toBe(status.CANCELLED);
    while (server.server.inFlight() > 0 || server.budget.usedBytes > 0) await new Promise(setImmediate);
  });
});

describe('a call', () => {
  test('that was answered is not cancelled when it is over', async () => {
    await server.client.call('ModelInfer', echo('done', 1));
    for (let i = 0; i < 5; i++) await server.client.call('ServerLive', {}); // what ends a call has come by then
    const [signal] = server.service.signals as [AbortSignal];
    expect(signal.aborted).toBe(false);
  });

  test('whose client goes away ends its work', async () => {
    const waiting = server.service.waiting();
    let cancel = (): void => undefined;
    const refused = server.client
      .call('ModelInfer', SLOW, {}, 'inference', (call) => (cancel = () => call.cancel()))
      .catch((error: ServiceError) => error.code);
    await waiting;
    const [signal] = server.service.signals as [AbortSignal];
    const aborted = once(signal, 'abort');
    cancel();
    await aborted;
    expect(signal.reason).toMatchObject({ code: 'cancelled' });
    expect(await refused).toBe(status.CANCELLED);
    while (server.server.inFlight() > 0 || server.budget.usedBytes > 0) await new Promise(setImmediate);
  });

  test('whose deadline passes ends its work', async () => {
    const waiting = server.service.waiting();
    const refused = server.client.refusal('ModelInfer', SLOW, { deadlineMs: 150 });
    await waiting;
    const [signal] = server.service.signals as [AbortSignal];
    if (!signal.aborted) await once(signal, 'abort');
    expect((await refused).code).toBe(status.DEADLINE_EXCEEDED);
  });

  test('whose message the budget has no room for may come again', async () => {
    const big = { name: 'X', datatype: 'FP32', shape: [200_000] };
    const message = { model_name: 'slow', inputs: [big], raw_input_contents: [Buffer.alloc(800_000)] };
    const waiting = server.service.waiting();
    const first = server.client.call('ModelInfer', message);
    await waiting;
    const refused = await server.client.refusal('ModelInfer', message);
    expect(refused.code).toBe(status.UNAVAILABLE);
    expect(refused.metadata.getMap()).toMatchObject({
      'tidegate-error': 'queue-full',
      'grpc-retry-pushback-ms': '1000',
    });
    server.service.release();
    await first;
    const again = server.client.call('ModelInfer', message);
    await server.service.waiting();
    server.service.release();
    await again;
    expect(server.service.requests).toHaveLength(2);
  });
});

test('who calls is known before anything of the message is read', async () => {
  const guarded = await startOipGrpcServer({}, async ({ kind, authorization }) => {
    if (kind === 'health') return undefined;
    if (authorization === 'Bearer good') return { identity: 'token:good' };
    return authorization === 'Bearer weak'
      ? { status: 403, error: 'the token lacks the scope infer' }
      : { status: 401, error: 'a token is needed' };
  });
  const { client, service } = guarded;
  try {
    const stranger = await client.refusal('ModelInfer', echo('', 1));
    expect([stranger.code, stranger.details]).toEqual([status.UNAUTHENTICATED, 'a token is needed']);
    const weak = await client.refusal('ModelInfer', echo('', 1), { metadata: { authorization: 'Bearer weak' } });
    expect([weak.code, weak.details]).toEqual([status.PERMISSION_DENIED, 'the token lacks the scope infer']);
    const refusedStream = client.stream();
    expect((await collect(refusedStream)).code).toBe(status.UNAUTHENTICATED);
    expect(service.requests).toEqual([]);
    const good = { metadata: { authorization: 'Bearer good' } };
    expect((await client.call('ModelInfer', echo('x', 1), good)).answer['id']).toBe('x');
    const posing = { metadata: { ...good.metadata, 'tidegate-tenant': 'somebody-else' } };
    await client.call('ModelInfer', echo('y', 1), posing);
    expect(service.requests.map(({ caller, tenant }) => [caller, tenant])).toEqual([
      ['token:good', undefined],
      ['token:good', 'somebody-else'], // a part of its own share, and nobody else's
    ]);
    expect((await client.call('ServerReady', {})).answer).toEqual({ ready: true });
    expect((await client.call('Check', { service: '' }, {}, 'health')).answer).toEqual({ status: 'SERVING' });
    const model = { service: 'echo-fp32' };
    expect((await client.refusal('Check', model, {}, 'health')).code).toBe(status.UNAUTHENTICATED);
    expect((await client.call('Check', model, good, 'health')).answer).toEqual({ status: 'SERVING' });
  } finally {
    await guarded.close();
  }
});

describe('the server’s end', () => {
  test('finishes what was accepted, tells watchers and streams, and refuses what is new', async () => {
    const watch = server.client.watch('');
    const statuses: string[] = [];
    watch.on('data', ({ status: told }: { status: string }) => statuses.push(told));
    const watchEnded = once(watch, 'error').catch((error: unknown) => [error]);
    await once(watch, 'data');
    const stream = server.client.stream();
    const collected = collect(stream);
    stream.write(echo('before', 1));
    await once(stream, 'data');
    const waiting = server.service.waiting();
    const accepted = server.client.call('ModelInfer', SLOW);
    await waiting;
    let closed = false;
    const closing = server.server.close(5000).then(() => (closed = true));
    expect((await collected).code).toBe(status.UNAVAILABLE);
    await watchEnded;
    expect(statuses.at(-1)).toBe('NOT_SERVING');
    const other = new GrpcClient(server.server.address);
    expect((await other.refusal('ModelInfer', echo('', 1))).code).toBe(status.UNAVAILABLE);
    other.close();
    expect(closed).toBe(false);
    server.service.release();
    expect((await accepted).answer['model_name']).toBe('slow');
    await closing;
  });

  test('cuts what is not done in time', async () => {
    const waiting = server.service.waiting();
    const refused = server.client.refusal('ModelInfer', SLOW);
    await waiting;
    await server.server.close(50);
    expect((await refused).code).not.toBe(status.OK);
    const [signal] = server.service.signals as [AbortSignal];
    if (!signal.aborted) await once(signal, 'abort');
  });

  test('comes also with a connection that says nothing, and one that isn’t HTTP/2', async () => {
    const [host = '', port = ''] = server.server.address.split(':');
    const silent = connect(Number(port), host);
    const wrong = connect(Number(port), host);
    for (const socket of [silent, wrong]) socket.on('error', () => undefined).resume();
    await Promise.all([once(silent, 'connect'), once(wrong, 'connect')]);
    wrong.write('GET /v2 HTTP/1.1\r\nhost: x\r\n\r\n');
    await once(wrong, 'close');
    expect((await server.client.call('ServerLive', {})).answer).toEqual({ live: true });
    await server.server.close(200);
  });
});

test('a taken port is told by its flag', async () => {
  const [host = '', port = ''] = server.server.address.split(':');
  const second = startGrpcServer({ listen: { host, port: Number(port) }, limits: {} } as Parameters<
    typeof startGrpcServer
  >[0]);
  await expect(second).rejects.toThrow(`--grpc-port: ${server.server.address} is taken by another program`);
});

// Real WebSocket clients (ws, undici) against the stream, over TCP and the unix socket, around the echo service.
import { mkdtemp, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket as OtherWebSocket } from 'undici';
import { WebSocket, type ClientOptions } from 'ws';
import { InferStreams } from '@tidegate/edge-agent/api/infer-streams.js';
import type { StreamLimits } from '@tidegate/edge-agent/api/stream-connection.js';
import { BodyBudget } from '@tidegate/shared/serving/http/body-budget.js';
import { startHttpServer, type HttpServer } from '@tidegate/shared/serving/http/http-server.js';
import { DEFAULT_OIP_LIMITS } from '@tidegate/shared/serving/http/oip-limits.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { EchoService } from '../../support/echo-service.js';
import { ManualClock } from '../../support/manual-clock.js';

let service: EchoService;
let clock: ManualClock;
let budget: BodyBudget;
let servers: HttpServer[];
let streams: InferStreams;
let sockets: WebSocket[];
beforeEach(() => {
  service = new EchoService();
  clock = new ManualClock();
  budget = new BodyBudget(1 << 20);
  servers = [];
  sockets = [];
});
afterEach(async () => {
  for (const socket of sockets) socket.terminate();
  await streams.close(0);
  await Promise.all(servers.map((server) => server.close(0)));
});

async function start(stream: Partial<StreamLimits> = {}, apiToken?: string, path?: string): Promise<string> {
  streams = new InferStreams({
    service,
    limits: { ...DEFAULT_OIP_LIMITS, bodyBytesMax: 4096, jsonBytesMax: 4096 },
    budget,
    defaultTimeoutMs: 30_000,
    sharedMemory: undefined,
    apiToken,
    clock,
    log: silentLog,
    stream,
  });
  const listen = path === undefined ? { host: '127.0.0.1', port: 0 } : { path };
  const http = await startHttpServer({ handler: (_, response) => response.end(), listen, flag: '--http-port' });
  streams.attach(http.server, path !== undefined);
  servers.push(http);
  return path === undefined ? `ws://${http.address}` : `ws+unix:${path}:`;
}

type Frame = { readonly json: Record<string, unknown>; readonly tensors: Buffer };

class Client {
  readonly socket: WebSocket;
  readonly #frames: Frame[] = [];
  #onFrame: () => void = () => undefined;

  constructor(url: string, options: ClientOptions = {}) {
    this.socket = new WebSocket(url, options);
    sockets.push(this.socket);
    this.socket.on('message', (data: Buffer, binary: boolean) => {
      const start = binary ? 4 : 0;
      const end = binary ? 4 + data.readUInt32LE(0) : data.byteLength;
      const json = JSON.parse(data.toString('utf8', start, end)) as Frame['json'];
      this.#frames.push({ json, tensors: data.subarray(end) });
      this.#onFrame();
    });
  }

  static async open(url: string, options?: ClientOptions): Promise<Client> {
    const client = new Client(url, options);
    await once(client.socket, 'open');
    return client;
  }

  send(frame: object | Buffer): void {
    this.socket.send(Buffer.isBuffer(frame) ? frame : JSON.stringify(frame));
  }

  async next(): Promise<Frame> {
    while (this.#frames.length === 0) await new Promise<void>((resolve) => (this.#onFrame = resolve));
    return this.#frames.shift() as Frame;
  }

  get unread(): number {
    return this.#frames.length;
  }

  async closed(): Promise<number> {
    const [code] = (await once(this.socket, 'close')) as [number];
    return code;
  }
}

const fp32 = (id: string, data: number[], extra: object = {}): object => ({
  id,
  inputs: [{ name: 'INPUT0', datatype: 'FP32', shape: [data.length], data }],
  ...extra,
});
const slow = (id: string): object => ({
  id,
  model_name: 'slow',
  inputs: [{ name: 'X', datatype: 'FP32', shape: [1], data: [1] }],
});

/** The status of a refused upgrade. */
function refusal(url: string, options: ClientOptions = {}): Promise<number | undefined> {
  const socket = new WebSocket(url, options);
  sockets.push(socket);
  socket.on('error', () => undefined);
  return new Promise((resolve) => socket.once('unexpected-response', (_, { statusCode }) => resolve(statusCode)));
}

describe('frames', () => {
  test('of text, to the model that the address names', async () => {
    const client = await Client.open(`${await start()}/v2/stream?model=echo-fp32&version=2`);
    client.send(fp32('a', [1, 2.5]));
    const { json } = await client.next();
    expect(json).toMatchObject({ id: 'a', model_name: 'echo-fp32', model_version: '2' });
    expect(json['outputs']).toEqual([{ name: 'OUTPUT0', datatype: 'FP32', shape: [2], data: [1, 2.5] }]);
    expect(json['parameters']).toMatchObject({ placement: 'edge' });
  });

  test('with tensors, to the model that they name', async () => {
    const client = await Client.open(`${await start()}/v2/stream`);
    const input = { name: 'INPUT0', datatype: 'INT64', shape: [2], parameters: { binary_data_size: 16 } };
    const json = { model_name: 'echo-int64', id: 'b', parameters: { binary_data_output: true }, inputs: [input] };
    const text = Buffer.from(JSON.stringify(json));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(text.byteLength);
    const tensors = Buffer.from(new BigInt64Array([-1n, 2n ** 60n]).buffer);
    client.send(Buffer.concat([length, text, tensors]));
    const answer = await client.next();
    expect(answer.json).toMatchObject({ id: 'b', outputs: [{ parameters: { binary_data_size: 16 } }] });
    expect(answer.tensors).toEqual(tensors);
  });

  test("from another implementation's client", async () => {
    const socket = new OtherWebSocket(`${await start()}/v2/stream?model=echo-fp32`);
    await new Promise((resolve) => socket.addEventListener('open', resolve, { once: true }));
    const answered = new Promise<string>((resolve) =>
      socket.addEventListener('message', ({ data }) => resolve(data as string), { once: true }),
    );
    socket.send(JSON.stringify(fp32('c', [3])));
    expect(JSON.parse(await answered)).toMatchObject({ id: 'c' });
    const closed = new Promise((resolve) => socket.addEventListener('close', resolve, { once: true }));
    socket.close();
    await closed;
  });

  test('over the unix socket', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tidegate-stream-'));
    const client = await Client.open(`${await start({}, 'a token of sixteen', join(folder, 's'))}/v2/stream`);
    client.send(fp32('d', [4], { model_name: 'echo-fp32' }));
    expect((await client.next()).json['id']).toBe('d');
    await rm(folder, { recursive: true });
  });

  test('that are wrong get an error with their id, and the connection goes on', async () => {
    const client = await Client.open(`${await start()}/v2/stream`);
    client.send(fp32('e', [1]));
    expect((await client.next()).json).toMatchObject({ id: 'e', code: 'invalid-argument', field: 'model_name' });
    client.send(fp32('f', [1], { model_name: 'nosuch' }));
    expect((await client.next()).json).toMatchObject({ id: 'f', code: 'not-found' });
    client.send(Buffer.from([1, 2]));
    expect((await client.next()).json).toMatchObject({ code: 'invalid-argument', field: 'frame' });
    client.socket.send('{');
    expect((await client.next()).json).toMatchObject({ code: 'invalid-argument', field: 'body' });
    client.send({ id: 'g', model_name: 'broken', inputs: [{ name: 'X', datatype: 'FP32', shape: [0], data: [] }] });
    expect((await client.next()).json).toEqual({ id: 'g', error: 'internal error', code: 'failed' });
    client.send(fp32('h', [1], { model_name: 'echo-fp32' }));
    expect((await client.next()).json).toMatchObject({ id: 'h', model_name: 'echo-fp32' });
    expect(budget.usedBytes).toBe(0);
  });

  test('that are too large end the connection', async () => {
    const client = await Client.open(`${await start()}/v2/stream`);
    const closed = client.closed();
    client.send(Buffer.alloc(5000));
    expect(await closed).toBe(1009);
  });
});

describe('many at once', () => {
  test('answers come as they are there, each with its id', async () => {
    const client = await Client.open(`${await start()}/v2/stream`);
    const waiting = service.waiting();
    client.send(slow('late'));
    await waiting;
    client.send(fp32('soon', [1], { model_name: 'echo-fp32' }));
    expect((await client.next()).json['id']).toBe('soon');
    service.release();
    expect((await client.next()).json['id']).toBe('late');
  });

  test('beyond the limit the socket is not read', async () => {
    const client = await Client.open(`${await start({ inFlightMax: 1 })}/v2/stream`);
    const waiting = service.waiting();
    client.send(slow('first'));
    await waiting;
    const pad = 'x'.repeat(3000); // more in all than a socket gives at once
    for (let n = 0; n < 200; n++) {
      client.send(fp32(`then ${n}`, [n], { model_name: 'echo-fp32', parameters: { pad } }));
    }
    let ponged = false;
    client.socket.once('pong', () => (ponged = true));
    client.socket.ping();
    const other = await Client.open(`${client.socket.url}?model=echo-fp32`); // others are served meanwhile
    other.send(fp32('other', [1]));
    await other.next();
    expect([service.requests.length, client.unread, ponged]).toEqual([2, 0, false]);
    service.release();
    const ids: unknown[] = [];
    for (let n = 0; n <= 200; n++) ids.push((await client.next()).json['id']);
    expect(ids).toEqual(['first', ...Array.from({ length: 200 }, (_, n) => `then ${n}`)]);
    expect(budget.usedBytes).toBe(0);
  });

  test('as many as are allowed are no leak to Node', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): unknown => warnings.push(warning);
    process.on('warning', onWarning);
    const client = await Client.open(`${await start({ inFlightMax: 16 })}/v2/stream`);
    for (let n = 0; n < 16; n++) client.send(slow(`${n}`));
    await expect.poll(() => service.signals.length, { interval: 2 }).toBe(16);
    await new Promise((resolve) => setImmediate(resolve)); // a warning comes at the next tick
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
  });

  test('requests end with their connection', async () => {
    const client = await Client.open(`${await start()}/v2/stream`);
    const waiting = service.waiting();
    client.send(slow('gone'));
    await waiting;
    const [signal] = service.signals;
    const aborted = once(signal as AbortSignal, 'abort');
    client.socket.terminate();
    await aborted;
    expect(signal?.reason).toMatchObject({ code: 'cancelled' });
  });
});

describe('who may connect', () => {
  test('not a page from elsewhere, not without the token, not to another path', async () => {
    const url = await start();
    expect(await refusal(`${url}/v2/stream`, { origin: 'https://elsewhere.example' })).toBe(403);
    expect(await refusal(`${url}/v2/streams`)).toBe(404);
    await streams.close(0);
    const guarded = await start({}, 'a token of sixteen');
    expect(await refusal(`${guarded}/v2/stream`)).toBe(401);
    const headers = { authorization: 'Bearer a token of sixteen' };
    expect((await Client.open(`${guarded}/v2/stream`, { headers })).socket.readyState).toBe(WebSocket.OPEN);
  });

  test('a request that asks for another protocol is answered as if it had not (curl --http2, Java)', async () => {
    const url = (await start()).replace('ws:', 'http:');
    const headers = { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAAQAAP__' };
    const [answer] = (await once(get(`${url}/v2/health/live`, { headers }), 'response')) as [IncomingMessage];
    expect(answer.statusCode).toBe(200);
    answer.resume();
  });

  test('at most 64', async () => {
    const url = `${await start()}/v2/stream`;
    await Promise.all(Array.from({ length: 64 }, () => Client.open(url)));
    expect(await refusal(url)).toBe(503);
    expect(streams.connectionCount).toBe(64);
  });
});

describe('the end of a connection', () => {
  test('a client that is gone without a word is found out by pings', async () => {
    const url = `${await start({ pingIntervalMs: 1000 })}/v2/stream`;
    const deaf = await Client.open(url, { autoPong: false });
    const closed = deaf.closed();
    const pinged = once(deaf.socket, 'ping');
    clock.advance(1000);
    await pinged;
    clock.advance(1000);
    expect(await closed).toBe(1006);
  });

  test('one that has nothing to ask is closed', async () => {
    const client = await Client.open(`${await start({ pingIntervalMs: 1000, idleTimeoutMs: 1500 })}/v2/stream`);
    const closed = client.closed();
    const pinged = once(client.socket, 'ping');
    clock.advance(1000);
    await pinged;
    client.send(fp32('i', [1], { model_name: 'echo-fp32' }));
    await client.next();
    const again = once(client.socket, 'ping');
    clock.advance(1000); // 1000 ms since the last answer
    await again;
    client.socket.ping();
    await once(client.socket, 'pong'); // what the client said before has been heard too
    clock.advance(1000);
    expect(await closed).toBe(1000);
  });

  test('draining answers what was accepted, refuses the rest, and says 1001', async () => {
    const url = `${await start()}/v2/stream`;
    const [busy, idle] = [await Client.open(url), await Client.open(url)];
    const waiting = service.waiting();
    busy.send(slow('accepted'));
    await waiting;
    const ends = [idle.closed(), busy.closed()];
    const closing = streams.close(60_000);
    expect(await ends[0]).toBe(1001);
    busy.send(fp32('late', [1], { model_name: 'echo-fp32' }));
    expect((await busy.next()).json).toMatchObject({ code: 'not-ready', retry_after_ms: 1000 });
    expect(await refusal(url)).toBe(503);
    service.release();
    expect((await busy.next()).json['id']).toBe('accepted');
    expect(await ends[1]).toBe(1001);
    await closing;
  });

  test('what does not end in time is cut', async () => {
    const client = await Client.open(`${await start()}/v2/stream`);
    const waiting = service.waiting();
    client.send(slow('never'));
    await waiting;
    const closed = client.closed();
    const closing = streams.close(1000);
    clock.advance(1000);
    expect(await closed).toBe(1006);
    await closing;
  });
});

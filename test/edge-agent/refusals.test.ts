// Refusals of a whole agent that is busy, by turns of its event loop and not by time: who is refused is told in the very turn in
// which enough is known. Its executor is stopped meanwhile, so that the queue stays as it is.
import { channel } from 'node:diagnostics_channel';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createAgent, type Agent } from '@tidegate/edge-agent/agent.js';
import { readAgentSettings } from '@tidegate/edge-agent/config/read-settings.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';

const path = fileURLToPath(new URL('../../examples/digits/digits.onnx', import.meta.url));
const image = { name: 'image', datatype: 'FP32', shape: [1, 1, 28, 28], data: new Array<number>(784).fill(0.5) };
const head = (length: number, more = ''): string =>
  `POST /v2/models/digits/infer HTTP/1.1\r\nHost: localhost\r\ntidegate-cache: bypass\r\n${more}Content-Length: ${length}\r\n\r\n`;
const START = channel('http.server.request.start');

let agent: Agent;
let port: number;
let turn = 0;
/** Of the request with this header `x-watch`: the turns of its head, its last byte and the beginning of its answer. */
const seen = new Map<string, { head: number; last?: number; answer?: number }>();

const watch = (message: unknown): void => {
  const { request, response } = message as { request: IncomingMessage; response: ServerResponse };
  const turns: { head: number; last?: number; answer?: number } = { head: turn };
  seen.set(String(request.headers['x-watch']), turns);
  const { push } = request;
  const { writeHead } = response;
  request.push = (chunk: unknown) => {
    if (chunk === null) turns.last = turn;
    return push.call(request, chunk);
  };
  response.writeHead = (...args: unknown[]) => {
    turns.answer = turn;
    return (writeHead as (...all: unknown[]) => ServerResponse).apply(response, args);
  };
};
const count = (): void => {
  turn += 1;
  if (turn >= 0) setImmediate(count).unref();
};

beforeAll(async () => {
  const settings = readAgentSettings({ flags: { httpPort: '0', grpcPort: 'off' }, environment: {} });
  const modules = {
    clock: systemClock,
    log: silentLog,
    version: '1',
    mode: 'serve',
    hub: undefined,
    observers: [],
  } as const;
  agent = createAgent({ ...settings, concurrency: 1 }, modules);
  const digest = sha256('1');
  const identity = { name: 'digits', version: '1', versionDigest: digest, variant: 'fp32', variantDigest: digest };
  const source = { ...identity, path, verified: true };
  agent.slots.activate(await agent.slots.prepare(source, new AbortController().signal));
  port = Number((await agent.listen()).http.split(':').at(-1));
  agent.open();
  START.subscribe(watch);
  count();
});
afterAll(async () => {
  START.unsubscribe(watch);
  turn = -Infinity;
  await agent.close(5000);
});

/** Resolves with all that came once it has `count` answers. */
function answers(socket: Socket, count = 1): Promise<string> {
  return new Promise((resolve) => {
    let received = '';
    socket.on('data', (chunk) => {
      received += chunk.toString();
      if (received.split('HTTP/1.1 ').length > count) resolve(received);
    });
  });
}

it('are written in the turn in which enough was read, with the body or without it', async () => {
  const { served } = agent.slots.active('digits')!;
  const body = JSON.stringify({ inputs: [image] });
  const waiting = connect(port, '127.0.0.1');
  const first = answers(waiting);
  waiting.write(head(body.length) + body);
  expect(await first).toContain('HTTP/1.1 200');
  const [pid] = served.pids;
  process.kill(pid!, 'SIGSTOP');
  const many = Array.from({ length: 4 }, () => connect(port, '127.0.0.1'));
  try {
    for (const socket of many) socket.write(head(body.length) + body);
    await expect.poll(() => served.counts.queueDepth, { interval: 2 }).toBeGreaterThan(0);

    const unread = connect(port, '127.0.0.1');
    const told = answers(unread);
    unread.write(head(body.length, 'x-watch: unread\r\ntidegate-timeout: 1\r\n'));
    expect(await told).toMatch(/HTTP\/1\.1 503[^]*tidegate-error: would-miss-deadline/i); // and the body was never sent
    expect(seen.get('unread')?.answer).toBe(seen.get('unread')?.head);
    unread.destroy();

    const read = connect(port, '127.0.0.1');
    const late = JSON.stringify({ inputs: [image], parameters: { timeout: 1 } });
    const refused = answers(read);
    read.write(head(late.length, 'x-watch: read\r\n') + late.slice(0, 100));
    await expect.poll(() => seen.get('read'), { interval: 2 }).toBeDefined();
    read.write(late.slice(100));
    expect(await refused).toMatch(/HTTP\/1\.1 503[^]*tidegate-error: would-miss-deadline/i);
    const { last, answer, head: began } = seen.get('read')!;
    expect(answer).toBe(last);
    expect(last).toBeGreaterThan(began);
    read.destroy();
  } finally {
    process.kill(pid!, 'SIGCONT');
  }
  for (const socket of many) {
    expect(await answers(socket)).toContain('HTTP/1.1 200');
    socket.destroy();
  }
  waiting.destroy();
});

// What clients do with their connections: go away, send ahead, stop half-way; and the server that drains.
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { fp32, GOOD, oipCaller, SMALL_LIMITS } from '../../../support/oip-caller.js';
import { startOipServer, type OipServer } from '../../../support/oip-server.js';

let server: OipServer;
beforeAll(async () => {
  server = await startOipServer(SMALL_LIMITS);
});
afterAll(() => server.close());
const { inferFp32 } = oipCaller(() => server);

describe('the connection', () => {
  test('a client that goes away aborts its request', async () => {
    const waiting = server.service.waiting();
    const body = JSON.stringify({ inputs: [{ name: 'X', datatype: 'FP32', shape: [0], data: [] }] });
    const socket = connect(server.http.port, '127.0.0.1');
    socket.write(`POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await waiting;
    const signal = server.service.signals.at(-1) as AbortSignal;
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    socket.destroy();
    await aborted;
    expect(signal.reason).toMatchObject({ code: 'cancelled' });
    expect((await inferFp32(GOOD)).status).toBe(200);
  });

  test('large bodies that are announced and do not come keep nobody else out', async () => {
    const head = `POST /v2/models/echo-fp32/infer HTTP/1.1\r\nHost: x\r\nInference-Header-Content-Length: 2\r\n`;
    const senders = Array.from({ length: 8 }, () => connect(server.http.port, '127.0.0.1'));
    try {
      const begun = senders.map((socket) => new Promise((resolve) => socket.once('data', resolve)));
      for (const socket of senders) socket.write(`${head}Expect: 100-continue\r\nContent-Length: ${1 << 20}\r\n\r\n`);
      for (const answer of await Promise.all(begun)) expect(String(answer)).toContain('100 Continue');
      expect((await inferFp32(GOOD)).status).toBe(200);
    } finally {
      for (const socket of senders) socket.destroy();
    }
  });

  /** All that comes back over one connection for `bytes`. */
  function exchange(bytes: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(server.http.port, '127.0.0.1');
      let received = '';
      socket.on('data', (chunk) => (received += chunk.toString()));
      socket.on('close', () => resolve(received));
      socket.on('error', reject);
      socket.write(bytes);
    });
  }
  const post = (id: string, header = ''): string => {
    const body = fp32([1, 2], { id });
    const head = `POST /v2/models/echo-fp32/infer HTTP/1.1\r\nHost: x\r\n${header}Content-Length: ${body.length}`;
    return `${head}\r\n\r\n${body}`;
  };
  const LAST = 'Connection: close\r\n';

  test('requests sent ahead on one connection are answered in their order', async () => {
    const text = await exchange(post('first') + post('second') + post('third', LAST));
    expect([...text.matchAll(/"id":"(\w+)"/g)].map((match) => match[1])).toEqual(['first', 'second', 'third']);
  });

  test('a refusal keeps the connection, whether its body was read or not', async () => {
    const get = 'GET /v2/models/nosuch HTTP/1.1\r\nHost: x\r\n\r\n';
    const unread = post('unread', 'Inference-Header-Content-Length: x\r\n');
    const read = post('read', 'tidegate-cache: maybe\r\n');
    const text = await exchange(get + unread + read + post('good', LAST));
    expect([...text.matchAll(/HTTP\/1.1 (\d+)/g)].map((match) => match[1])).toEqual(['404', '400', '400', '200']);
  });

  test('who is refused by the head is told before the body comes, and goes on with the connection', async () => {
    server.service.refusedUnread = new ServingError('rate-limited', 'too often', { retryAfterMs: 1500 });
    const socket = connect(server.http.port, '127.0.0.1');
    let received = '';
    const reads = (text: string): Promise<void> =>
      new Promise((resolve) => {
        const look = (chunk: Buffer): void => {
          received += chunk.toString();
          if (received.includes(text)) resolve(void socket.off('data', look));
        };
        socket.on('data', look);
      });
    const refusal = reads('{"error":"too often"}');
    const body = ' '.repeat(300_000); // larger than what sockets hold
    socket.write(`POST /v2/models/echo-fp32/infer HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`);
    await refusal;
    expect(received).toContain('HTTP/1.1 429 Too Many Requests');
    expect(received).not.toContain('Connection: close');
    expect([server.refused.at(-1), server.handler.inFlight()]).toEqual(['rate-limited unread', 0]);
    server.service.refusedUnread = undefined;
    const next = reads('"id":"next"');
    socket.write(body + post('next', LAST));
    await next;
    socket.destroy();
  });

  test('a truncated body leaves nothing behind', async () => {
    const socket = connect(server.http.port, '127.0.0.1');
    socket.write(`POST /v2/models/echo-fp32/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n{`);
    socket.on('error', () => undefined); // a reset is as good an end as a close
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.end();
    socket.resume();
    await closed;
    for (let i = 0; i < 12; i++) expect((await inferFp32(GOOD)).status).toBe(200);
    expect(server.handler.inFlight()).toBe(0);
  });

  test('all bodies together are bounded, and what a client holds is given back', async () => {
    const head = `POST /v2/models/echo-fp32/infer HTTP/1.1\r\nHost: x\r\nInference-Header-Content-Length: 9\r\nContent-Length: ${1 << 20}\r\n\r\n`;
    const sockets = Array.from({ length: 4 }, () => connect(server.http.port, '127.0.0.1'));
    for (const socket of sockets) socket.write(head + ' '.repeat((1 << 20) - 1)); // all but the last byte
    const large = GOOD + ' '.repeat(200_000);
    await expect.poll(async () => (await inferFp32(large)).status).toBe(503);
    const full = await inferFp32(large);
    expect(full.headers.get('tidegate-error')).toBe('queue-full');
    expect(full.headers.get('retry-after')).toBe('1');
    expect((await inferFp32(GOOD)).status).toBe(200);
    for (const socket of sockets) socket.destroy();
    await expect.poll(async () => (await inferFp32(large)).status).toBe(200);
  });

  test('a draining server finishes what it accepted and refuses the rest', async () => {
    const own = await startOipServer();
    const waiting = own.service.waiting();
    const body = JSON.stringify({ inputs: [{ name: 'X', datatype: 'FP32', shape: [0], data: [] }] });
    const slow = fetch(`${own.url}/v2/models/slow/infer`, { method: 'POST', body });
    await waiting;
    own.handler.drain();
    const refusal = await fetch(`${own.url}/v2/models/echo-fp32/infer`, { method: 'POST', body: GOOD });
    expect(refusal.status).toBe(503);
    expect(refusal.headers.get('tidegate-error')).toBe('not-ready');
    await refusal.text();
    expect((await fetch(`${own.url}/v2/health/ready`)).status).toBe(503);
    const closed = own.close();
    own.service.release();
    expect((await slow).status).toBe(200);
    await closed;
    await expect(fetch(`${own.url}/v2/health/live`)).rejects.toThrow();
  });
});

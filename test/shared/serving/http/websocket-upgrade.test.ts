// Raw requests to a real server that has a WebSocket behind it.
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startHttpServer, type HttpServer } from '@tidegate/shared/serving/http/http-server.js';
import { onWebSocketUpgrade } from '@tidegate/shared/serving/http/websocket-upgrade.js';

let http: HttpServer;
let seen: { readonly path: string | undefined; readonly body: string; readonly headers: IncomingMessage['headers'] }[];
let upgraded: number;

async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = '';
  for await (const chunk of request.setEncoding('utf8') as AsyncIterable<string>) body += chunk;
  seen.push({ path: request.url, body, headers: request.headers });
  response.end(`got ${body.length}`);
}

beforeEach(async () => {
  seen = [];
  upgraded = 0;
  const listen = { host: '127.0.0.1', port: 0 };
  http = await startHttpServer({ handler: (...both) => void echo(...both), listen, flag: '--http-port' });
  onWebSocketUpgrade(http.server, (_request, socket) => {
    upgraded += 1;
    socket.destroy();
  });
});
afterEach(() => http.close(0));

const H2C = 'Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n';

/** Sends the parts, each after the event loop has turned, and resolves with all that comes until the server closes. */
async function exchange(...parts: string[]): Promise<string> {
  const socket = connect(http.port, '127.0.0.1');
  await once(socket, 'connect');
  const closed = once(socket, 'close');
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
  for (const part of parts) {
    socket.write(part, 'latin1');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await closed;
  return answer;
}

it('answers a request that would rather speak HTTP/2, wherever its body is cut', async () => {
  const body = 'x'.repeat(20_000);
  const head = `POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nX-Name: caf\xe9\r\nContent-Length: ${body.length}\r\n`;
  const wish = `Connection: Upgrade, close, HTTP2-Settings\r\n${H2C}\r\n`;
  for (const parts of [[head + wish + body], [head + wish, body], [head, wish + body.slice(0, 3), body.slice(3)]]) {
    expect(await exchange(...parts)).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\ngot 20000$/);
  }
  expect(seen).toHaveLength(3);
  for (const { path, headers } of seen) {
    expect([path, headers['x-name'], headers.connection]).toEqual(['/v2/models/m/infer', 'caf\xe9', 'close']);
    expect(Object.keys(headers)).not.toContain('upgrade');
  }
});

it('goes on with the connection afterwards', async () => {
  const first = `GET /1 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n${H2C}\r\n`;
  const last = 'GET /3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n';
  const answer = await exchange(first, first.replace('/1', '/2'), last);
  expect(answer.match(/got 0/g)).toHaveLength(3);
  expect(seen.map(({ path }) => path)).toEqual(['/1', '/2', '/3']);
});

it('leaves a WebSocket to its own', async () => {
  await exchange('GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n');
  expect([upgraded, seen.length]).toEqual([1, 0]);
});

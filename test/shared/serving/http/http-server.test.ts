import { once } from 'node:events';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { request } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import { HttpServerError, startHttpServer, type HttpServer } from '@tidegate/shared/serving/http/http-server.js';
import { temporaryFolders } from '../../../support/temporary-folder.js';

const temporaryFolder = temporaryFolders('http-server');
const servers: HttpServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close(0)));
});

async function start(options: Partial<Parameters<typeof startHttpServer>[0]> = {}): Promise<HttpServer> {
  const server = await startHttpServer({
    handler: (_, response) => response.end('ok'),
    listen: { host: '127.0.0.1', port: 0 },
    flag: '--http-port',
    ...options,
  });
  servers.push(server);
  return server;
}

/** What the server says to raw bytes until it closes the connection. */
function say(server: HttpServer, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(server.port, '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('close', () => resolve(text));
    socket.on('error', reject);
  });
}

describe('starting', () => {
  test('port 0 takes a free port and says which', async () => {
    const server = await start();
    expect(server.address).toBe(`127.0.0.1:${server.port}`);
    expect(await (await fetch(`http://${server.address}/`)).text()).toBe('ok');
  });

  test('a taken port names the flag and the port', async () => {
    const first = await start();
    const second = startHttpServer({
      handler: () => undefined,
      listen: { host: '127.0.0.1', port: first.port },
      flag: '--http-port',
    });
    await expect(second).rejects.toThrow(HttpServerError);
    await expect(second).rejects.toThrow(`--http-port: 127.0.0.1:${first.port} is taken by another program`);
    expect((await fetch(`http://${first.address}/`)).status).toBe(200);
  });

  test('an address of another machine', async () => {
    const server = startHttpServer({
      handler: () => undefined,
      listen: { host: '192.0.2.1', port: 0 },
      flag: '--host',
    });
    await expect(server).rejects.toMatchObject({ code: 'address-unusable' });
  });

  test('a unix socket', async () => {
    const path = join(temporaryFolder(), 's');
    const server = await start({ listen: { path } });
    expect(server.address).toBe(path);
    const status = await new Promise((resolve, reject) => {
      request({ socketPath: path, path: '/' }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      })
        .on('error', reject)
        .end();
    });
    expect(status).toBe(200);
  });
});

describe('strangers', () => {
  test('what is no HTTP is told so as JSON', async () => {
    const server = await start();
    const text = await say(server, 'what?\r\n\r\n');
    expect(text).toMatch(/^HTTP\/1.1 400 Bad Request\r\nContent-Type: application\/json\r\n/);
    expect(JSON.parse(text.slice(text.indexOf('{')))).toHaveProperty('error');
  });

  test('headers beyond the limit', async () => {
    const server = await start({ limits: { headerBytesMax: 1000 } });
    expect(await say(server, `GET / HTTP/1.1\r\nX: ${'x'.repeat(2000)}\r\n\r\n`)).toMatch(/^HTTP\/1.1 431 /);
    expect((await fetch(`http://${server.address}/`)).status).toBe(200);
  });
});

describe('slow strangers', () => {
  const limits = { headersTimeoutMs: 50, requestTimeoutMs: 80, timeoutCheckMs: 20 };

  test('headers that never end', async () => {
    const server = await start({ limits });
    expect(await say(server, 'GET / HTTP/1.1\r\nHost: x\r\n')).toMatch(/^HTTP\/1.1 408 Request Timeout\r\n/);
  });

  test('a body that never ends', async () => {
    const server = await start({ limits, handler: (incoming) => incoming.resume() });
    const text = await say(server, 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{');
    expect(text).toMatch(/^HTTP\/1.1 408 Request Timeout\r\n/);
  });
});

describe('closing', () => {
  test('a request that is on its way on an idle connection is answered, and the connection is closed', async () => {
    const server = await start({ limits: { idleGraceMs: 10_000 } });
    const socket = createConnection(server.port, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString()));
    const ask = (): Promise<unknown> => {
      socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      return once(socket, 'data');
    };
    await ask();
    const closed = server.close(20_000);
    await ask();
    await closed; // without waiting for the rest of the grace: nobody is connected
    expect(text.match(/HTTP\/1.1 \d+|Connection: \S+/g)).toEqual([
      ...['HTTP/1.1 200', 'Connection: keep-alive'],
      ...['HTTP/1.1 200', 'Connection: close'],
    ]);
  });

  test('an idle connection that asks nothing is closed after its grace', async () => {
    const server = await start({ limits: { idleGraceMs: 20 } });
    const socket = createConnection(server.port, '127.0.0.1');
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(socket, 'data');
    await Promise.all([server.close(60_000), once(socket, 'close')]);
  });

  test('finishes what was accepted, then lets go of kept-alive connections', async () => {
    let answer: (() => void) | undefined;
    const accepted: Promise<void>[] = [];
    let arrived: () => void = () => undefined;
    accepted.push(new Promise((resolve) => (arrived = resolve)));
    const server = await start({
      handler: (_, response) => {
        answer = () => response.end('late');
        arrived();
      },
    });
    const pending = fetch(`http://${server.address}/`);
    await Promise.all(accepted);
    const closed = server.close(10_000);
    await expect(fetch(`http://${server.address}/`)).rejects.toThrow();
    answer?.();
    expect(await (await pending).text()).toBe('late');
    const startedMs = performance.now();
    await closed;
    expect(performance.now() - startedMs).toBeLessThan(5000);
  });

  test('cuts what is still open after the drain time', async () => {
    let arrived: () => void = () => undefined;
    const accepted = new Promise<void>((resolve) => (arrived = resolve));
    const server = await start({ handler: () => arrived() });
    const pending = fetch(`http://${server.address}/`);
    await accepted;
    await Promise.all([server.close(20), expect(pending).rejects.toThrow()]);
  });
});

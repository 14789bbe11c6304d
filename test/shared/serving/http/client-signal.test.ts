import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { clientOf } from '../../../../shared/serving/http/client-signal.js';

let server: Server;
let caller: Socket;
let socket: Socket;

beforeEach(async () => {
  server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const arrived = once(server, 'connection');
  caller = connect((server.address() as { port: number }).port, '127.0.0.1');
  [socket] = (await arrived) as [Socket];
  socket.resume();
});

afterEach(() => {
  caller.destroy();
  socket.destroy();
  server.close();
});

async function hangUp(): Promise<void> {
  const closed = once(socket, 'close');
  caller.destroy();
  await closed;
}

describe('the signal of the requests of a connection', () => {
  test('is one, and aborts for all of them when the client goes away', async () => {
    const first = clientOf(socket).enter();
    const second = clientOf(socket).enter();
    expect(second).toBe(first);
    clientOf(socket).leave();
    expect(first.aborted).toBe(false);
    await hangUp();
    expect(first.reason).toMatchObject({ name: 'ServingError', code: 'cancelled' });
  });

  test('does not abort what has ended', async () => {
    const signal = clientOf(socket).enter();
    clientOf(socket).leave();
    await hangUp();
    expect(signal.aborted).toBe(false);
  });

  test('is made anew after 256 requests, never under one that is under way', async () => {
    const client = clientOf(socket);
    const first = client.enter();
    for (let i = 2; i <= 300; i++) {
      expect(client.enter()).toBe(first);
      client.leave();
    }
    client.leave();
    const next = client.enter();
    expect(next).not.toBe(first);
    await hangUp();
    expect([first.aborted, next.aborted]).toEqual([false, true]);
  });

  test('may be listened to by as many as there are: Node sees no leak', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    const signal = clientOf(socket).enter();
    for (let i = 0; i < 16; i++) signal.addEventListener('abort', () => undefined);
    await new Promise((resolve) => setImmediate(resolve)); // warnings are told a tick later
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
  });
});
